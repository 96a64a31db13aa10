// What a module of commands/ gives, and what its commands are given: types only, so that they know nobody who runs them.
import type { Command } from 'commander'
import type { Loaded, LoadOptions } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import type { Database, Db } from '../db/connect.ts'
import type { Secret } from '../lib/secret.ts'
import type { Output } from './output.ts'
import type { Shell } from './shell.ts'

export interface CommandModule {
  /** Adds verbs, arguments and options to `noun`; runs nothing, and imports nothing that takes time. */
  define(noun: Command, act: Act): void
}

/**
 * Makes an action of `work`, which gets the invocation, then the arguments, then the options as the module declared
 * them. A number that it returns is the exit code.
 */
export type Act = <A extends unknown[]>(work: Work<A>) => (...args: unknown[]) => Promise<void>

export type Work<A extends unknown[]> = (gw: Invocation, ...args: A) => Promise<unknown>

/** What one command may use. Configuration, database and secret are opened when first asked for. */
export interface Invocation {
  readonly shell: Shell
  readonly out: Output
  readonly dryRun: boolean
  /** False after `--no-color`; the terminal and the environment have a say too. */
  readonly color: boolean
  /** From here on the work answers SIGINT, SIGTERM and SIGHUP itself. */
  ownSignals(): void
  /** What `loadConfig` is to be asked with, for this command line. */
  loadOptions(flags?: LoadOptions['flags']): LoadOptions
  /** @throws Refusal `config` */
  load(): Promise<Loaded>
  config(): Promise<Config>
  /**
   * The control socket, also where something else in the configuration is wrong: unless `quiet`, that is told.
   * @throws Refusal `config` where it cannot be known, or nobody answers there
   */
  socket(quiet?: boolean): Promise<string>
  /** The database, its schema up to date unless `migrate` is false. @throws Refusal `unreachable` */
  database(options?: { migrate?: boolean }): Promise<Database>
  db(): Promise<Db>
  secret(): Promise<Secret>
  /** Runs `work` in a transaction, which `--dry-run` rolls back: validation and result are the same. */
  write<T>(work: (db: Db) => Promise<T>): Promise<T>
  /**
   * Asks before `deed` ("remove user …"), which cannot be undone. `--yes` and `--dry-run` answer for the person.
   * @throws Refusal `refused` when the answer is no, or when there is no terminal to ask on
   */
  confirm(deed: string): Promise<void>
}

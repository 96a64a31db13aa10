// What one command may use: output, configuration, database, secret; opened when first asked for, closed on every exit.
import type { Loaded, LoadOptions } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import type { Database, Db } from '../db/connect.ts'
import { Refusal } from '../lib/refusal.ts'
import type { Secret } from '../lib/secret.ts'
import { createOutput, type Output } from './output.ts'

/** Options that every command takes; `dryRun` and `yes` only where a command declares them. */
export interface Globals {
  config?: string
  dataDir?: string
  json?: boolean
  color?: boolean
  debug?: boolean
  dryRun?: boolean
  yes?: boolean
}

export interface Invocation {
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
  close(): Promise<void>
}

class DryRun extends Error {}

export function openInvocation(globals: Globals, signals: Pick<Invocation, 'ownSignals'>): Invocation {
  const color = globals.color ?? true
  const out = createOutput({ json: globals.json ?? false, color })
  const dryRun = globals.dryRun ?? false
  let loaded: Promise<Loaded> | undefined
  let opened: Promise<Database> | undefined
  // Connections that end with us are not lost.
  let closing = false

  const gw: Invocation = {
    ...signals,
    out,
    dryRun,
    color,
    loadOptions: (flags = {}) => ({ file: globals.config, flags: { data_dir: globals.dataDir, ...flags } }),
    load: () => (loaded ??= import('../config/load.ts').then(({ loadConfig }) => loadConfig(gw.loadOptions()))),
    config: async () => (await gw.load()).config,

    database(options) {
      opened ??= (async () => {
        const config = await gw.config()
        const { openDatabase } = await import('../db/connect.ts')
        const database = await openDatabase(config, { ...options, log: line => closing || out.note(line) })
        if (database.origin === 'created') out.note(`created the embedded database in ${config['data_dir']}`)
        return database
      })()
      return opened
    },
    db: async () => (await gw.database()).db,

    async secret() {
      const [config, { openSecret }] = await Promise.all([gw.config(), import('../lib/secret.ts')])
      // Opened at first use: its file is made when it is missing, and to pause an account is no reason for that.
      let opened: Secret | undefined
      const open = () => (opened ??= openSecret(config['secret.key_file']))
      return {
        encrypt: plain => open().encrypt(plain),
        decrypt: sealed => open().decrypt(sealed),
        digest: key => open().digest(key),
      }
    },

    async write(work) {
      const { db } = await gw.database()
      let result: Awaited<ReturnType<typeof work>> | undefined
      try {
        return await db.transaction().execute(async tx => {
          result = await work(tx)
          if (dryRun) throw new DryRun()
          return result
        })
      } catch (error) {
        if (!(error instanceof DryRun)) throw error
        out.note('dry run: nothing changed')
        return result!
      }
    },

    async confirm(deed) {
      if (globals.yes || dryRun) return
      if (!process.stdin.isTTY || !process.stderr.isTTY)
        throw new Refusal('refused', `there is no terminal to ask on; add --yes to ${deed}`)
      if (!(await ask(`${deed[0]!.toUpperCase()}${deed.slice(1)}?`))) throw new Refusal('refused', 'nothing changed')
    },

    async close() {
      closing = true
      // A database that is still being opened is waited for: an embedded server may be on its way up.
      const database = await opened?.catch(() => undefined)
      await database?.close()
    },
  }
  return gw
}

async function ask(question: string): Promise<boolean> {
  const { createInterface } = await import('node:readline/promises')
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  // readline takes Ctrl-C for itself; and Ctrl-D closes it, which is no answer and so a no.
  terminal.on('SIGINT', () => {
    process.stderr.write('\n')
    process.kill(process.pid, 'SIGINT')
  })
  const closed = new Promise<string>(resolve => terminal.once('close', () => resolve('')))
  try {
    const answer = await Promise.race([terminal.question(`${question} [y/N] `), closed])
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    terminal.close()
  }
}

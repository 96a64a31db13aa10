// Sees that Postgres went back to an older state, or may have, while this process knew a newer one: then everything is read again.
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { beginEpoch, brokenBetween, HalfRestored, type Standing, standingOf } from '../db/epoch.ts'
import type { Ears } from '../db/listen.ts'

/** What came of reading everything again. */
export interface Renewed {
  /** lines of usage that are booked a second time, where the older state does not have them */
  lines: number
  /** sums of money that are older than those that were known */
  older: number
}

export interface EpochKeeper {
  /** Something that Postgres said is older than what it had said before. */
  suspect(why: string): void
  /** How everything is read again; done at once where that was found at the start. */
  follow(renew: () => Promise<Renewed>): Promise<void>
  /** it was found, and not everything is read again yet */
  pending(): boolean
  /** what there is to be said of it, in words; undefined when all is well */
  trouble(): string | undefined
  close(): void
}

interface EpochOptions {
  ears: Ears
  dataDir: string
  log: (level: 'info' | 'warn', line: string) => void
}

/** For so long an operator is told, who may have to put right what is lost. */
const TOLD_MS = 15 * 60_000
/** What is done while it is not whole. */
const MEANWHILE = 'Serving by what was known last; usage waits'
/** Remembered so often, in beats: how far transactions had come. */
const SELDOM = 30

/** Looks with every heartbeat on Postgres; what was seen last is remembered in the data dir, for the next start. @throws when Postgres cannot be asked */
export async function keepEpoch({ ears, dataDir, log }: EpochOptions): Promise<EpochKeeper> {
  const file = path.join(dataDir, 'database.json')
  let last = remembered(file)
  let seen: Standing | undefined
  let suspicion: string | undefined
  /** recognised, and not everything is read again yet */
  let pending: { why: string; back: boolean } | undefined
  let told: { at: number; line: string } | undefined
  let renew: (() => Promise<Renewed>) | undefined
  let renewing: Promise<void> | undefined
  let failed = false
  /** in words, while the database is not whole */
  let half: string | undefined
  let beats = 0

  async function standing(client: Parameters<typeof standingOf>[0]): Promise<Standing> {
    try {
      const now = await standingOf(client)
      if (half !== undefined) log('info', 'database: it is whole again')
      half = undefined
      return now
    } catch (error) {
      if (error instanceof HalfRestored) {
        if (half === undefined) log('warn', `database: ${error.message} ${MEANWHILE}`)
        half = error.message
      }
      throw error
    }
  }

  async function look(client: Parameters<typeof standingOf>[0]): Promise<void> {
    const now = await standing(client)
    const before = last
    const broken = before && brokenBetween(before, now)
    const behind = broken ?? (suspicion === undefined ? undefined : { why: suspicion, back: true })
    if (behind) found(behind)
    else if (before && now.number > before.number) found({ why: 'another node has seen it', back: false })
    // Once for each time that it is found, however long the reading takes.
    const number = before && behind ? await beginEpoch(client, before.number) : now.number
    suspicion = undefined
    // Held against the next but one: a server that crashes may forget the last half second of what it promised nobody, as a NOTIFY.
    const settled = behind ? now : (seen ?? before ?? now)
    last = { ...now, number, at: settled.at, entry: settled.entry }
    seen = now
    if (pending || !before || ++beats % SELDOM === 0) remember(file, last)
    if (pending) void again()
  }

  function found(what: NonNullable<typeof pending>): void {
    if (!pending) log('warn', `database: Postgres is not where it was (${what.why}): everything is read again`)
    pending = { why: what.why, back: what.back || pending?.back === true }
  }

  function again(): Promise<void> {
    if (!renew) return Promise.resolve()
    renewing ??= all(renew).finally(() => (renewing = undefined))
    return renewing
  }

  async function all(renew: () => Promise<Renewed>): Promise<void> {
    const { why, back } = pending!
    try {
      const { lines, older } = await renew()
      pending = undefined
      failed = false
      const booked = `${lines} line${lines === 1 ? '' : 's'} of usage that the spool still has ${lines === 1 ? 'is' : 'are'} booked again where missing`
      if (!back && older === 0)
        return log(
          'info',
          `database: all is read again (${why}), and nothing that was known of money is missing; ${booked}`,
        )
      // At the start nothing was known yet.
      const sums =
        older === 0
          ? ''
          : `${older} sum${older === 1 ? '' : 's'} of money ${older === 1 ? 'is' : 'are'} older than known, `
      const line = `database: Postgres went back to an older state at ${new Date().toISOString()} (${why}): all is read again, ${sums}${booked}; top-ups and changes made since are lost, see gw ledger verify`
      told = { at: performance.now(), line }
      log('warn', line)
    } catch (error) {
      // With the next beat.
      if (!failed)
        log('warn', `database: not everything could be read again: ${(error as Error).message}; trying again`)
      failed = true
    }
  }

  await ears.beside(look)
  return {
    suspect(why) {
      suspicion ??= why
    },
    async follow(how) {
      renew = how
      if (pending) await again()
    },
    pending: () => pending !== undefined,
    trouble() {
      if (half !== undefined) return `database: ${half} ${MEANWHILE}`
      if (pending) return `database: Postgres is not where it was (${pending.why}), and everything is being read again`
      if (told && performance.now() - told.at > TOLD_MS) told = undefined
      return told?.line
    },
    close() {
      if (last) remember(file, last)
    },
  }
}

function remembered(file: string): Standing | undefined {
  try {
    const {
      at,
      entry = 0,
      ...rest
    } = JSON.parse(readFileSync(file, 'utf8')) as Omit<Standing, 'at' | 'entry'> & {
      at: string
      entry?: string
    }
    return { ...rest, at: BigInt(at), entry: BigInt(entry) }
  } catch {
    return undefined
  }
}

function remember(file: string, { at, entry, ...rest }: Standing): void {
  try {
    writeFileSync(`${file}.new`, JSON.stringify({ ...rest, at: `${at}`, entry: `${entry}` }), { mode: 0o600 })
    renameSync(`${file}.new`, file)
  } catch {
    // The spool says what is wrong with the disk.
  }
}

// One run of retention for the whole cluster: by Postgres's clock alone, and only where that clock can be believed.
import { type Kysely, sql } from 'kysely'
import type { Tables } from '../../db/schema.ts'
import { formatDuration, roughly } from '../../lib/units.ts'
import { deleteOldAlerts } from './alerts.ts'
import { type Keep, type KeptName, keptNames } from './kept.ts'
import { dropOld, makeAhead, type Retained } from './partitions.ts'

/** Held while it works, so that of several processes one does (db/alone.ts). */
export const RETENTION_LOCK = 0x6777_0002

const HOUR = 3_600_000
const DAY = 24 * HOUR
/** Two clocks that differ by more: one of them is wrong, and nobody knows which. */
const FARTHEST_MS = HOUR
/** A clock that went on by more since the last run, which is made daily, is believed only a day later. */
const LEAP_MS = 7 * DAY

export interface Run extends Retained {
  /** rows deleted of alerts */
  alerts: number
  /** why nothing was dropped; undefined when nothing spoke against it */
  doubt: string | undefined
  /** what went wrong, by name */
  failed: string[]
}

/**
 * Makes the partitions to come, then drops what is older than is to be kept: as `keep` says, which is of the settings, or an
 * operator by `gw ops retention set`. How it went is in the table `retention`.
 * @param hostNow this host's clock, Unix ms, which may only speak against it
 */
export async function runRetention(
  db: Kysely<Tables>,
  { hostNow, keep, signal }: { hostNow: number; keep: Keep; signal?: AbortSignal | undefined },
): Promise<Run> {
  const now = await clockOf(db)
  await makeAhead(db, now)
  const run: Run = { dropped: [], busy: [], alerts: 0, doubt: await doubtOf(db, now, hostNow), failed: [] }
  if (run.doubt !== undefined) {
    for (const name of keptNames) await record(db, name, undefined, [], run.doubt)
    return run
  }
  const set = new Map(
    (await db.selectFrom('retention').select(['name', 'keep_ms']).execute()).map(row => [row.name, row.keep_ms]),
  )
  for (const name of keptNames) {
    if (signal?.aborted) break
    const keepMs = Number(set.get(name) ?? keep[name])
    try {
      const { dropped, busy, alerts } = await one(db, name, now, keepMs, signal)
      run.dropped.push(...dropped)
      run.busy.push(...busy)
      run.alerts += alerts
      const words = [...dropped.map(({ partition }) => partition), ...(alerts > 0 ? [`${alerts} rows`] : [])]
      await record(db, name, now, words, busy.length > 0 ? `${busy.join(', ')} in use by something long` : null)
    } catch (error) {
      const { message } = error as Error
      run.failed.push(`${name}: ${message}`)
      await record(db, name, now, [], message)
    }
  }
  return run
}

async function one(db: Kysely<Tables>, name: KeptName, now: number, keepMs: number, signal: AbortSignal | undefined) {
  if (name !== 'alerts') return { ...(await dropOld(db, name, { now, keepMs, signal })), alerts: 0 }
  if (keepMs === 0) return { dropped: [], busy: [], alerts: 0 }
  const { events, deliveries } = await deleteOldAlerts(db, new Date(now - keepMs), signal)
  return { dropped: [], busy: [], alerts: events + deliveries }
}

/** Postgres's clock, Unix ms. */
export async function clockOf(db: Kysely<Tables>): Promise<number> {
  const { rows } = await sql<{ now: Date }>`select clock_timestamp() as now`.execute(db)
  return rows[0]!.now.getTime()
}

/** When the last run was, Unix ms by Postgres's clock (undefined: there was none), and whether all went well with it. */
export async function lastRun(db: Kysely<Tables>): Promise<{ at: number | undefined; well: boolean }> {
  const row = await db
    .selectFrom('retention')
    .select(({ fn }) => [fn.max('last_run_at').as('at'), fn.count<string>('last_error').as('errors')])
    .executeTakeFirstOrThrow()
  return { at: row.at?.getTime(), well: Number(row.errors) === 0 }
}

async function doubtOf(db: Kysely<Tables>, now: number, hostNow: number): Promise<string | undefined> {
  const apart = Math.abs(now - hostNow)
  if (apart > FARTHEST_MS)
    return `the clocks of this host (${iso(hostNow)}) and of Postgres (${iso(now)}) differ by ${roughly(apart)}: nothing is dropped until they agree within ${formatDuration(FARTHEST_MS)}`
  // An embedded Postgres has this host's clock, and both may be wrong together: then it is time itself that leaps.
  const { rows } = await sql<{ hold: Date | null; seen: Date | null }>`
    select max(hold_until) as hold, coalesce(max(last_run_at), (select max(at) from usage)) as seen from retention`.execute(
    db,
  )
  const hold = rows[0]!.hold?.getTime()
  const seen = rows[0]!.seen?.getTime()
  const leapt = seen !== undefined && now - seen > LEAP_MS
  if (!leapt || (hold !== undefined && hold <= now && now - hold <= LEAP_MS)) {
    if (hold !== undefined) await db.updateTable('retention').set({ hold_until: null }).execute()
    return undefined
  }
  const held = hold !== undefined && hold > now && hold - now <= DAY
  const until = held ? hold : now + DAY
  if (!held)
    await sql`insert into retention (name, hold_until) values ('usage', ${new Date(until)})
      on conflict (name) do update set hold_until = excluded.hold_until`.execute(db)
  return `${roughly(now - seen)} have passed since retention last ran: in case the clock is wrong nothing is dropped before ${iso(until)}`
}

const iso = (at: number) => new Date(at).toISOString()

/** @param now undefined: it was not run */
async function record(
  db: Kysely<Tables>,
  name: KeptName,
  now: number | undefined,
  dropped: string[],
  error: string | null,
) {
  const at = now === undefined ? undefined : new Date(now)
  const run = {
    last_error: error,
    ...(at && { last_run_at: at }),
    ...(at && dropped.length > 0 && { last_dropped: dropped, last_dropped_at: at }),
  }
  await db
    .insertInto('retention')
    .values({ name, ...run })
    .onConflict(of => of.column('name').doUpdateSet(run))
    .execute()
}

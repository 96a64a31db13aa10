// Takes from the outbox what is due and may be told now; what is over the hourly cap is held, and told in one digest later.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { AlertMessage } from '../../db/schema-watch.ts'
import { held } from './words.ts'

/** A delivery that this process has leased: nobody else sends it meanwhile. */
export interface Claimed {
  id: bigint
  channel_id: number
  event_id: number | null
  key: string
  fallback: string | null
  /** this one included */
  attempts: number
  message: AlertMessage
}

export interface ClaimOptions {
  /** which process it is */
  holder: string
  /** most messages to one channel within an hour, of all processes; 0: no limit */
  cap: number
  /** how many more this process would send to a channel now */
  room(channel: number): number
}

// Longer than sending takes. What a process that died had leased is sent again then.
const LEASE = sql`interval '15 seconds'`
// Further ahead than any pause or lease, also as a transaction sees it that began before another one's.
const ASTRAY = sql`interval '5 minutes'`
// Looked at in one round of a channel; the rest is there at the next.
const PAGE = 200
const LONGEST_DIGEST = 50

/** Exact over processes: a channel is looked at by one at a time, and Postgres' clock is everybody's. */
export function claim(db: Db, options: ClaimOptions): Promise<Claimed[]> {
  return db.transaction().execute(async tx => {
    // A process that stands still in the middle, or whose network is gone, must not keep the others from telling.
    await sql`select set_config('idle_in_transaction_session_timeout', '15s', true)`.execute(tx)
    const claimed: Claimed[] = []
    for (const channel of await channelsWithWork(tx)) claimed.push(...(await claimOf(tx, channel, options)))
    return claimed
  })
}

// The weakest lock that keeps two of us apart: an event that is written meanwhile need not wait for it.
async function channelsWithWork(tx: Db): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select id from alert_channels c
    where exists (select 1 from alert_deliveries d where d.channel_id = c.id and ${due})
      or exists (select 1 from alert_deliveries d where d.channel_id = c.id and d.state = 'held')
    order by id for no key update skip locked`.execute(tx)
  return rows.map(({ id }) => id)
}

// What is so far ahead was written before Postgres' clock was set back.
const due = sql`d.state = 'pending' and (d.due_at <= now() or d.due_at > now() + ${ASTRAY})
  and (d.lease_until is null or d.lease_until < now() or d.lease_until > now() + ${ASTRAY})`

async function claimOf(tx: Db, channel: number, { holder, cap, room }: ClaimOptions): Promise<Claimed[]> {
  const left = cap === 0 ? Number.POSITIVE_INFINITY : cap - (await toldWithinAnHour(tx, channel))
  if (left > 0) await makeDigest(tx, channel)
  // That it is over is not told before that it fires is, or is given up; of the rest the worst first, while there is room.
  const { rows } = await sql<{ id: bigint; counts: boolean }>`
    select d.id, d.kind in ('firing', 'resolved') as counts from alert_deliveries d
    where d.channel_id = ${channel} and ${due} and not exists (
      select 1 from alert_deliveries e
      where e.event_id = d.event_id and e.channel_id = d.channel_id and e.id < d.id and e.state = 'pending')
    order by d.kind = 'digest' desc, d.message->>'severity', d.id limit ${PAGE} for update skip locked`.execute(tx)
  // What a person asked for and what tells of others is never held.
  const within = rows.filter(row => row.counts).slice(0, Math.max(0, left))
  const over = rows.filter(row => row.counts).slice(within.length)
  if (over.length > 0)
    await tx
      .updateTable('alert_deliveries')
      .set({ state: 'held', error: 'held: more came than may be told within an hour' })
      .where(
        'id',
        'in',
        over.map(({ id }) => id),
      )
      .execute()
  const ids = rows.filter(row => !row.counts || within.includes(row)).slice(0, Math.max(0, room(channel)))
  if (ids.length === 0) return []
  return tx
    .updateTable('alert_deliveries')
    .set({ lease: holder, lease_until: sql`now() + ${LEASE}`, attempts: sql`attempts + 1` })
    .where(
      'id',
      'in',
      ids.map(({ id }) => id),
    )
    .returning(['id', 'channel_id', 'event_id', 'key', 'fallback', 'attempts', 'message'])
    .execute()
}

/** What was told, and what is being told at this moment. */
async function toldWithinAnHour(tx: Db, channel: number): Promise<number> {
  const { rows } = await sql<{ told: number }>`
    select ((select count(*) from alert_deliveries where channel_id = ${channel} and kind <> 'test'
        and state = 'sent' and sent_at > now() - interval '1 hour' and sent_at <= now() + ${ASTRAY})
      + (select count(*) from alert_deliveries where channel_id = ${channel} and kind <> 'test'
        and state = 'pending' and lease_until > now() and lease_until <= now() + ${ASTRAY}))::float8 as told`.execute(
    tx,
  )
  return rows[0]!.told
}

async function makeDigest(tx: Db, channel: number): Promise<void> {
  const rows = await tx
    .updateTable('alert_deliveries')
    .set({ state: 'digested' })
    .where('channel_id', '=', channel)
    .where('state', '=', 'held')
    .returning(['id', 'message', 'fallback'])
    .execute()
  const first = rows.sort((a, b) => (a.id < b.id ? -1 : 1))[0]
  if (!first) return
  const lines = rows.map(({ message }) => held(message))
  const more = lines.length - LONGEST_DIGEST
  const worst = rows.map(({ message }) => message.severity).sort()[0]!
  const message: AlertMessage = {
    kind: 'digest',
    rule_id: null,
    rule: '',
    severity: worst,
    dimension: '',
    title: `${rows.length} messages were held back`,
    description: '',
    metric: '',
    op: '',
    value: null,
    threshold: null,
    window_minutes: null,
    fired_at: first.message.fired_at,
    resolved_at: null,
    lines: more > 0 ? [...lines.slice(0, LONGEST_DIGEST), `and ${more} more (gw alert list)`] : lines,
  }
  const fallback = rows.find(row => row.fallback !== null)?.fallback ?? null
  const row = { event_id: null, channel_id: channel, kind: 'digest' as const, fallback }
  await tx
    .insertInto('alert_deliveries')
    .values({ ...row, message: JSON.stringify(message) })
    .execute()
}

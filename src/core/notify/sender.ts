// The sender: tells what is in the outbox, each channel at its own pace, again after 1, 2 and 4 s, and then its fallback.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { AlertMessage } from '../../db/schema-watch.ts'
import type { Secret } from '../../lib/secret.ts'
import { openChannel } from './channel.ts'
import { type Claimed, claim } from './claim.ts'
import { atLeast } from './outbox.ts'
import { type Sending, send } from './send.ts'
import { Untaken } from './untaken.ts'
import { oneLine } from './words.ts'

export interface SenderWorld {
  db: Db
  secret: Secret
  /** which process it is */
  holder: string
  /** most messages to one channel within an hour; asked every time */
  cap: () => number
  /** looked at for each message */
  sending: Omit<Sending, 'leaving'>
  log: (level: 'info' | 'warn', line: string) => void
}

export interface Sender {
  /** Begins to tell what is due, and does not wait for it: a channel that hangs delays nobody else. */
  round(): Promise<void>
  /** Waits a moment for what is under way, half of so many ms (default 4 s); what is not told by then is given back. */
  close(withinMs?: number): Promise<void>
}

/** A channel that hangs holds so many connections at most. */
const PARALLEL = 4
/** Before the second, third and fourth attempt. */
const PAUSES_MS = [1_000, 2_000, 4_000]
// A receiver may ask for more patience, but the fallback waits meanwhile.
const LONGEST_PAUSE_MS = 60_000
const PATIENCE_MS = 4_000
const SWEEP_MS = 3_600_000

export function createSender(world: SenderWorld): Sender {
  const { db, holder, cap } = world
  const leaving = new AbortController()
  const under = new Map<bigint, Promise<void>>()
  const busy = new Map<number, number>()
  const count = (channel: number, by: 1 | -1) => busy.set(channel, (busy.get(channel) ?? 0) + by)
  let sweptAt = Number.NEGATIVE_INFINITY

  function begin(claimed: Claimed): void {
    count(claimed.channel_id, 1)
    const one = deliver(world, claimed, leaving.signal).finally(() => {
      under.delete(claimed.id)
      count(claimed.channel_id, -1)
    })
    under.set(claimed.id, one)
  }

  return {
    async round() {
      if (leaving.signal.aborted) return
      const claimed = await claim(db, { holder, cap: cap(), room: channel => PARALLEL - (busy.get(channel) ?? 0) })
      for (const one of claimed) begin(one)
      if (performance.now() - sweptAt < SWEEP_MS) return
      sweptAt = performance.now()
      await sweep(db)
    },
    async close(withinMs = PATIENCE_MS) {
      const timer = setTimeout(() => leaving.abort(), withinMs / 2)
      await Promise.all(under.values())
      clearTimeout(timer)
      leaving.abort()
    },
  }
}

/** Never rejects: what cannot be written down is sent again when the lease is over. */
async function deliver(world: SenderWorld, claimed: Claimed, leaving: AbortSignal): Promise<void> {
  const { db, secret, sending, log } = world
  const { channel_id, message, key, event_id: event } = claimed
  let name = `number ${channel_id}`
  try {
    let note: string | undefined
    try {
      const channel = await openChannel(db, secret, channel_id).catch(error => {
        throw new Untaken((error as Error).message, { definite: true })
      })
      name = channel.name
      if (!channel.enabled && message.kind !== 'test') throw new Untaken('it is disabled', { definite: true })
      note = await send(channel, message, { key, event }, { ...sending, leaving })
    } catch (error) {
      if (leaving.aborted) await giveBack(db, claimed)
      else await untaken(world, claimed, name, error as Untaken)
      return
    }
    await taken(db, claimed, note)
    if (note !== undefined) log('warn', `alert channel ${name}: ${note}`)
  } catch (error) {
    log('warn', `alert channel ${name}: what came of a message cannot be written down: ${(error as Error).message}`)
  }
}

const free = { lease: null, lease_until: null }

async function taken(db: Db, { id }: Claimed, note: string | undefined): Promise<void> {
  await db
    .updateTable('alert_deliveries')
    .set({ ...free, state: 'sent', sent_at: sql`now()`, error: note ?? null })
    .where('id', '=', id)
    .where('state', '=', 'pending')
    .execute()
}

/** To whoever comes next, at once. */
async function giveBack(db: Db, { id }: Claimed): Promise<void> {
  await db
    .updateTable('alert_deliveries')
    .set({ ...free, attempts: sql`attempts - 1` })
    .where('id', '=', id)
    .where('state', '=', 'pending')
    .execute()
}

async function untaken({ db, log }: SenderWorld, claimed: Claimed, channel: string, why: Untaken): Promise<void> {
  const { id, attempts, message } = claimed
  const error = oneLine(why.message).slice(0, 500)
  const pause = PAUSES_MS[attempts - 1]
  if (pause !== undefined && !why.definite) {
    const ms = Math.min(LONGEST_PAUSE_MS, Math.max(pause, why.afterMs))
    await db
      .updateTable('alert_deliveries')
      .set({ ...free, error, due_at: sql`now() + ${ms} * interval '1 millisecond'` })
      .where('id', '=', id)
      .where('state', '=', 'pending')
      .execute()
    return
  }
  const told = await db.transaction().execute(async tx => {
    const failed = await tx
      .updateTable('alert_deliveries')
      .set({ ...free, state: 'failed', error })
      .where('id', '=', id)
      .where('state', '=', 'pending')
      .executeTakeFirst()
    return failed.numUpdatedRows > 0n ? tellFallback(tx, claimed, `${channel} did not take it: ${error}`) : undefined
  })
  const instead = told === undefined ? '' : `; ${told} is told instead`
  log(
    'warn',
    `alert channel ${channel}: ${message.kind} of ${message.rule || 'a digest'} was not taken: ${error}${instead}`,
  )
}

/** @returns its name; undefined when there is none, or it is told of this already */
async function tellFallback(tx: Db, claimed: Claimed, instead: string): Promise<string | undefined> {
  const { fallback, channel_id, event_id } = claimed
  if (fallback === null) return undefined
  const channel = await tx
    .selectFrom('alert_channels')
    .select(['id', 'name', 'min_severity'])
    .where('name', '=', fallback)
    .where('enabled', '=', true)
    .where('id', '<>', channel_id)
    .executeTakeFirst()
  if (!channel || !atLeast(claimed.message.severity, channel.min_severity)) return undefined
  // Whoever writes that the event is over does so before, and is seen below, or after, and sees this one.
  await tx.selectFrom('alert_events').select('id').where('id', '=', event_id).forShare().execute()
  const message: AlertMessage = { ...claimed.message, instead }
  const row = { event_id, channel_id: channel.id, kind: message.kind, fallback: null }
  const written = await tx
    .insertInto('alert_deliveries')
    .values({ ...row, message: JSON.stringify(message) })
    .onConflict(conflict => conflict.columns(['event_id', 'kind', 'channel_id']).doNothing())
    .executeTakeFirst()
  if ((written.numInsertedOrUpdatedRows ?? 0n) === 0n) return undefined
  if (message.kind === 'firing') await tellOver(tx, claimed, channel.id)
  return channel.name
}

/** That it is over already the other channel was to be told, which may take it again by then. */
async function tellOver(tx: Db, { event_id, channel_id }: Claimed, instead: number): Promise<void> {
  await tx
    .insertInto('alert_deliveries')
    .columns(['event_id', 'channel_id', 'kind', 'message'])
    .expression(eb =>
      eb
        .selectFrom('alert_deliveries')
        .select(['event_id', eb.val(instead).as('channel_id'), 'kind', 'message'])
        .where('event_id', '=', event_id)
        .where('channel_id', '=', channel_id)
        .where('kind', '=', 'resolved'),
    )
    .onConflict(conflict => conflict.columns(['event_id', 'kind', 'channel_id']).doNothing())
    .execute()
}

/** What is of an event goes with it; tests and digests are of none. */
async function sweep(db: Db): Promise<void> {
  await db
    .deleteFrom('alert_deliveries')
    .where('event_id', 'is', null)
    .where('state', 'in', ['sent', 'failed', 'digested'])
    .where('created_at', '<', sql<Date>`now() - interval '30 days'`)
    .execute()
}

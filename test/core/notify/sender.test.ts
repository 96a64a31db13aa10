// The outbox is told by whoever leases it: nothing is lost, a dead channel delays nobody, and nobody is flooded.
import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { addSilence, isSilenced } from '../../../src/core/alert/silence.ts'
import { addChannel, listChannels, setChannel } from '../../../src/core/notify/channel.ts'
import { enqueue } from '../../../src/core/notify/outbox.ts'
import { createSender } from '../../../src/core/notify/sender.ts'
import { type Database, openDatabase } from '../../../src/db/connect.ts'
import type { AlertMessage, Severity } from '../../../src/db/schema-watch.ts'
import { createGuard } from '../../../src/lib/guard/guard.ts'
import { secretFrom } from '../../../src/lib/secret.ts'
import { freshDatabase } from '../../helpers/database.ts'
import { until } from '../../helpers/gateway.ts'
import { type Reply, receiver } from '../../helpers/receiver.ts'

const secret = secretFrom(randomBytes(32))
const rules = { allowPrivate: true }
const guard = createGuard({ allowPrivate: true, setting: 'notify.allow_private' })

const message = (kind: AlertMessage['kind'], rule = 'errors'): AlertMessage => ({
  kind,
  rule_id: null,
  rule,
  severity: 'P1',
  dimension: '',
  title: `P1: ${rule}`,
  description: 'too many',
  metric: 'error_rate',
  op: '>',
  value: 7,
  threshold: 5,
  window_minutes: 1,
  fired_at: '2026-11-28T20:00:00.000Z',
  resolved_at: null,
})

async function world(t: Test, cap = 0) {
  const url = await freshDatabase(t)
  const database: Database = await openDatabase({ 'database.url': url, 'database.pool_size': 5 } as never)
  t.teardown(() => database.close())
  const { db } = database
  const logged: string[] = []
  const sender = (holder: string) => {
    const made = createSender({
      ...{ db, secret, holder, cap: () => cap },
      sending: { guard, smtp: { url: undefined, passwordFile: undefined, from: undefined } },
      log: (_level, line) => void logged.push(line),
    })
    t.teardown(() => made.close())
    return made
  }
  const channel = async (
    name: string,
    reply: (n: number) => Reply | undefined = () => undefined,
    min: Severity = 'P3',
  ) => {
    const to = await receiver(t, reply)
    await addChannel(db, secret, { name, type: 'webhook', url: `${to.url}/${name}`, min_severity: min }, rules)
    return to.got
  }
  const event = async () => {
    const { rows } = await sql<{ id: number }>`
      insert into alert_events (rule, severity, title, description, metric, op, value, threshold, window_minutes)
      values ('errors', 'P1', 't', 'd', 'error_rate', '>', 7, 5, 1) returning id`.execute(db)
    return rows[0]!.id
  }
  const tell = async (told: AlertMessage, notify: string[], { of = 0, fallback = null as string | null } = {}) =>
    enqueue(db, { event: of || (await event()), message: told, rule: { notify, fallback } })
  const rows = async () => {
    const { rows } = await sql<{
      channel: string
      kind: string
      state: string
      attempts: number
      error: string | null
    }>`select c.name as channel, d.kind, d.state, d.attempts, d.error
      from alert_deliveries d join alert_channels c on c.id = d.channel_id order by d.id`.execute(db)
    return rows
  }
  // What would come in its time is here now.
  const hurry = () => sql`update alert_deliveries set due_at = now() where state = 'pending'`.execute(db)
  return { db, sender, channel, event, tell, rows, hurry, logged }
}
/** Rounds until it is so. */
async function rounds(t: Test, made: { round(): Promise<void> }, what: string, so: () => boolean | Promise<boolean>) {
  await until(t, what, async () => {
    await made.round()
    return so()
  })
}

t.test('what is not taken is told again after 1, 2 and 4 s, and then in the fallback, with the reason', async t => {
  const { db, sender, channel, event, tell, rows, hurry, logged } = await world(t)
  const bad = await channel('bad', () => ({ status: 503, body: 'closed' }))
  const good = await channel('good')
  const of = await event()
  await tell(message('firing'), ['bad'], { of, fallback: 'good' })
  const one = sender('one')
  for (const [n, pause] of [1, 2, 4].entries()) {
    await rounds(t, one, `attempt ${n + 1} is made`, () => bad.length === n + 1)
    await until(t, 'it is written down', async () => (await rows())[0]!.error !== null)
    const { rows: seen } = await sql<{ near: boolean }>`
      select due_at <= now() + ${pause} * interval '1 second' as near from alert_deliveries`.execute(db)
    t.strictSame(seen, [{ near: true }], `the next within ${pause} s`)
    t.match((await rows())[0], { state: 'pending', attempts: n + 1, error: 'answered 503: closed' })
    await sql`update alert_deliveries set error = null, due_at = now() + interval '1 hour'`.execute(db)
    await one.round()
    t.equal(bad.length, n + 1, 'and not before')
    await hurry()
  }
  await rounds(t, one, 'the fallback is told', () => good.length === 1)
  await until(t, 'it is written down', async () => (await rows()).every(row => row.state !== 'pending'))
  t.strictSame(
    (await rows()).map(({ channel, state, attempts }) => [channel, state, attempts]),
    [
      ['bad', 'failed', 4],
      ['good', 'sent', 1],
    ],
  )
  t.equal(new Set(bad.map(({ headers }) => headers['idempotency-key'])).size, 1, 'one key for all attempts')
  t.match(good[0]!.json, { event_id: of, instead: 'bad did not take it: answered 503: closed' })
  t.equal(logged.length, 1)
  t.match(logged[0], /bad: firing of errors was not taken: answered 503: closed; good is told instead/)
  const [first] = await listChannels(db, secret)
  t.match(first, { name: 'bad', sent_at: null, problem: 'answered 503: closed' })
})

t.test(
  'a disabled channel is as one that fails at once; a fallback that was told already is not told again',
  async t => {
    const { db, sender, channel, event, tell, rows } = await world(t)
    const off = await channel('off')
    const good = await channel('good')
    const of = await event()
    await tell(message('firing'), ['off', 'good'], { of, fallback: 'good' })
    await setChannel(db, secret, 'off', { enabled: false }, rules)
    const one = sender('one')
    await rounds(t, one, 'all is over', async () => (await rows()).every(row => row.state !== 'pending'))
    t.strictSame(
      (await rows()).map(({ channel, state, attempts, error }) => [channel, state, attempts, error]),
      [
        ['off', 'failed', 1, 'it is disabled'],
        ['good', 'sent', 1, null],
      ],
    )
    t.strictSame([off.length, good.length], [0, 1])
  },
)

t.test('a channel that hangs delays nobody else, and holds four connections at most', async t => {
  const { sender, channel, tell } = await world(t)
  const dead = await channel('dead', () => ({ silent: true }))
  const good = await channel('good')
  for (let n = 0; n < 12; n++) await tell(message('firing', `rule ${n}`), ['dead'])
  const one = sender('one')
  await rounds(t, one, 'the dead one is asked', () => dead.length === 4)
  await tell(message('firing'), ['good'])
  await rounds(t, one, 'the other is told meanwhile', () => good.length === 1)
  t.equal(dead.length, 4)
})

t.test('the worst is told first, and is not what is held back', async t => {
  const { sender, channel, tell, rows } = await world(t, 2)
  const got = await channel('one')
  for (const severity of ['P3', 'P2', 'P3', 'P0'] as const)
    await tell({ ...message('firing', severity), severity }, ['one'])
  await sender('one').round()
  await until(t, 'there was room for two', async () => (await rows()).filter(row => row.state === 'sent').length === 2)
  t.strictSame(got.map(({ json }) => json['rule_name']).sort(), ['P0', 'P2'])
})

t.test('that it is over is not told before that it fires', async t => {
  const { sender, channel, event, tell, rows, hurry } = await world(t)
  const got = await channel('flaky', n => (n === 0 ? { status: 500 } : undefined))
  const of = await event()
  await tell(message('firing'), ['flaky'], { of })
  await tell(message('resolved'), ['flaky'], { of })
  const one = sender('one')
  await rounds(t, one, 'the first attempt failed', async () => (await rows())[0]!.error !== null)
  await one.round()
  t.equal(got.length, 1)
  await hurry()
  await rounds(t, one, 'both are told', () => got.length === 3)
  t.strictSame(
    got.map(({ json }) => json['status']),
    ['firing', 'firing', 'resolved'],
  )
})

t.test(
  'whoever is told that it fires is told that it is over, be it as a fallback or before its rule changed',
  async t => {
    const { db, sender, channel, event, tell, rows } = await world(t)
    const [first, second, other] = [await channel('first'), await channel('second'), await channel('other')]
    const one = sender('one')
    const statuses = (got: typeof first) => got.map(({ json }) => json['status'])
    const works = (enabled: boolean) => setChannel(db, secret, 'first', { enabled }, rules)
    const over = async () => (await rows()).every(row => row.state !== 'pending')

    const of = await event()
    await tell(message('firing'), ['first'], { of, fallback: 'second' })
    await works(false)
    await rounds(t, one, 'the fallback is told', async () => second.length === 1 && (await over()))
    await works(true)
    await tell(message('resolved'), ['other'], { of })
    await rounds(t, one, 'both are told', over)
    t.strictSame([statuses(first), statuses(second), statuses(other)], [['resolved'], ['firing', 'resolved'], []])

    const quick = await event()
    await tell(message('firing'), ['first'], { of: quick, fallback: 'second' })
    await tell(message('resolved'), ['first'], { of: quick, fallback: 'second' })
    await works(false)
    await one.round()
    await until(t, 'the first is not told that it fires', async () =>
      (await rows()).some(row => row.state === 'pending' && row.channel === 'second'),
    )
    await works(true)
    await rounds(t, one, 'all is told', over)
    t.strictSame(statuses(first), ['resolved', 'resolved'])
    t.strictSame(statuses(second).slice(2), ['firing', 'resolved'], 'it was over before the fallback was told')
  },
)

t.test(
  'a process that dies in the middle of telling loses nothing: another tells it again, with the same key',
  async t => {
    const { db, sender, channel, tell, rows } = await world(t)
    const got = await channel('slow', n => ({ silent: n === 0 }))
    await tell(message('firing'), ['slow'])
    await rounds(t, sender('dies'), 'it is being told', () => got.length === 1)
    const other = sender('other')
    await other.round()
    t.equal(got.length, 1, 'it is leased')
    await sql`update alert_deliveries set lease_until = now()`.execute(db)
    await rounds(t, other, 'the other has told it', async () => (await rows())[0]!.state === 'sent')
    t.equal(got.length, 2)
    t.equal(got[0]!.headers['idempotency-key'], got[1]!.headers['idempotency-key'])
    t.equal(got[0]!.body, got[1]!.body)
  },
)

t.test('a process that stops gives back what it has not told, and nobody waits for its lease', async t => {
  const { sender, channel, tell, rows } = await world(t)
  const got = await channel('slow', n => ({ silent: n === 0 }))
  await tell(message('firing'), ['slow'])
  const one = sender('stops')
  await rounds(t, one, 'it is being told', () => got.length === 1)
  await one.close()
  t.match((await rows())[0], { state: 'pending', attempts: 0 })
  await rounds(t, sender('next'), 'the next tells it', async () => (await rows())[0]!.state === 'sent')
})

t.test(
  'no channel is told more within an hour than its cap, however many processes tell; the rest is one digest',
  async t => {
    const { db, sender, channel, tell, rows, logged } = await world(t, 3)
    const got = await channel('chat')
    const other = await channel('other')
    for (let n = 0; n < 10; n++) await tell(message('firing', `rule-${n}`), ['chat'])
    await tell(message('test'), ['chat'])
    const all = [sender('one'), sender('two'), sender('three')]
    await until(t, 'all is told or held', async () => {
      await Promise.all(all.map(one => one.round()))
      return (await rows()).every(row => row.state !== 'pending')
    })
    const states = (await rows()).map(row => `${row.kind} ${row.state}`)
    t.equal(states.filter(state => state === 'firing sent').length, 3)
    t.equal(states.filter(state => state === 'firing held').length, 7)
    t.equal(states.filter(state => state === 'test sent').length, 1, 'what a person asks for is not counted')
    t.equal(got.length, 4)
    await tell(message('firing'), ['other'])
    await rounds(t, all[0]!, 'another channel has its own', () => other.length === 1)
    await all[1]!.round()
    t.equal(got.length, 4, 'nothing more until an hour has passed')

    await sql`update alert_deliveries set sent_at = sent_at - interval '61 minutes'`.execute(db)
    await until(t, 'the digest is told', async () => {
      await Promise.all(all.map(one => one.round()))
      return got.length === 5
    })
    t.match(got[4]!.json, { status: 'digest', event_id: null, severity: 'P1', title: '7 messages were held back' })
    const lines = got[4]!.json['held_back'] as string[]
    t.equal(lines.length, 7)
    for (const line of lines) t.match(line, /^P1 rule-\d firing, error_rate 7, 2026-11-28T20:00:00\.000Z$/)
    await tell(message('firing', 'later'), ['chat'])
    await rounds(t, all[2]!, 'and there is room again', () => got.length === 6)
    t.strictSame(logged, [])
  },
)

t.test('what was written before the clock was set back is told now, and a silence of that time is over', async t => {
  const { db, sender, channel, tell, rows } = await world(t, 1)
  await channel('one')
  await tell(message('firing'), ['one'])
  // A pause and the lease of a process that died, of a clock that was an hour ahead.
  await sql`update alert_deliveries set due_at = now() + interval '1 hour', lease_until = now() + interval '1 hour'`.execute(
    db,
  )
  await rounds(t, sender('next'), 'it is told', async () => (await rows())[0]!.state === 'sent')
  // Nor does what was told then count for the hour that begins now.
  await sql`update alert_deliveries set sent_at = now() + interval '1 hour'`.execute(db)
  await tell(message('firing'), ['one'])
  await rounds(t, sender('last'), 'so is the next', async () => (await rows()).every(row => row.state === 'sent'))

  await addSilence(db, { until: new Date(Date.now() + 7_200_000), by: 'test' })
  const anyRule = { id: 0, severity: 'P1' as const }
  t.ok(await isSilenced(db, anyRule))
  await sql`update alert_silences set created_at = now() + interval '1 hour'`.execute(db)
  t.notOk(await isSilenced(db, anyRule))
})

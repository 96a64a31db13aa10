// Who is told of an alert: the channels that its rule names, or all, that want to hear of its severity.
import t from 'tap'
import { addressed, enqueue } from '../../../src/core/notify/outbox.ts'
import { openDatabase } from '../../../src/db/connect.ts'
import type { AlertMessage, Severity } from '../../../src/db/schema-watch.ts'
import { freshDatabase } from '../../helpers/database.ts'

const channel = (id: number, name: string, min_severity: Severity = 'P3', enabled = true) => {
  return { id, name, min_severity, enabled }
}
const channels = [
  channel(1, 'mail'),
  channel(2, 'pager', 'P1'),
  channel(3, 'chat', 'P2'),
  channel(4, 'old', 'P3', false),
]
const names = (rule: { notify?: string[]; fallback?: string }, severity: Severity) =>
  addressed(channels, { notify: rule.notify ?? [], fallback: rule.fallback ?? null }, severity).map(({ name }) => name)

t.test('a rule without channels is told in all that are enabled and want its severity', async t => {
  t.strictSame(names({}, 'P0'), ['mail', 'pager', 'chat'])
  t.strictSame(names({}, 'P2'), ['mail', 'chat'])
  t.strictSame(names({}, 'P3'), ['mail'])
})

t.test('a rule with channels is told there only, in each that wants its severity', async t => {
  t.strictSame(names({ notify: ['chat', 'pager'] }, 'P1'), ['pager', 'chat'])
  t.strictSame(names({ notify: ['chat', 'pager'] }, 'P2'), ['chat'])
  t.strictSame(names({ notify: ['pager'] }, 'P3'), [], 'nobody wants to know')
  t.strictSame(names({ notify: ['pager'], fallback: 'mail' }, 'P3'), [], 'and that is no failure')
})

t.test('a channel that is gone or disabled is as one that failed: its fallback is told', async t => {
  t.strictSame(names({ notify: ['gone', 'pager'], fallback: 'mail' }, 'P1'), ['mail', 'pager'])
  t.strictSame(names({ notify: ['old'], fallback: 'mail' }, 'P1'), ['mail'])
  t.strictSame(names({ notify: ['pager'], fallback: 'mail' }, 'P1'), ['pager'], 'and not told otherwise')
})

const message: AlertMessage = {
  kind: 'firing',
  rule_id: null,
  rule: 'errors',
  severity: 'P1',
  dimension: '',
  title: 'P1: errors',
  description: 'too many',
  metric: 'error_rate',
  op: '>',
  value: 7,
  threshold: 5,
  window_minutes: 1,
  fired_at: '2026-11-28T20:00:00.000Z',
  resolved_at: null,
}

t.test(
  'what is told stands in the outbox once for each channel, or not at all when the event is rolled back',
  async t => {
    const url = await freshDatabase(t)
    const { db, close } = await openDatabase({ 'database.url': url, 'database.pool_size': 2 } as never)
    t.teardown(close)
    const { id: mail } = await db
      .insertInto('alert_channels')
      .values({ name: 'mail', type: 'email', url: null, secret: null })
      .returning('id')
      .executeTakeFirstOrThrow()
    const rule = { notify: [], fallback: null }
    const event = () =>
      db
        .insertInto('alert_events')
        .values({
          rule_id: null,
          rule: 'errors',
          severity: 'P1',
          title: 't',
          description: 'd',
          metric: 'error_rate',
          op: '>',
          value: 7,
          last_value: 7,
          threshold: 5,
          window_minutes: 1,
          resolved_at: null,
          acked_at: null,
          acked_by: null,
          note: null,
        })
        .returning('id')
        .executeTakeFirstOrThrow()
    const written = () =>
      db.selectFrom('alert_deliveries').select(['event_id', 'channel_id', 'kind', 'state', 'key', 'message']).execute()

    const { id } = await event()
    await t.rejects(
      db.transaction().execute(async tx => {
        t.strictSame(await enqueue(tx, { event: id, message, rule }), ['mail'])
        throw new Error('rolled back')
      }),
      /rolled back/,
    )
    t.strictSame(await written(), [])

    await db.transaction().execute(tx => enqueue(tx, { event: id, message, rule }))
    await db.transaction().execute(tx => enqueue(tx, { event: id, message, rule }))
    const rows = await written()
    t.equal(rows.length, 1, 'told of the same event again, nothing is written')
    t.match(rows[0], {
      event_id: id,
      channel_id: mail,
      kind: 'firing',
      state: 'pending',
      key: /^[0-9a-f-]{36}$/,
      message,
    })

    const tested = { ...message, kind: 'test' as const }
    await enqueue(db, { event: null, message: tested, rule })
    await enqueue(db, { event: null, message: tested, rule })
    t.equal((await written()).length, 3, 'tests are of no event, and each is told')
  },
)

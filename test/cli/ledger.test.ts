// Money that people move, the book in which it stands, and the check that nobody cooked it.

import { userInfo } from 'node:os'
import { sql } from 'kysely'
import t from 'tap'
import { requestId } from '../../src/lib/id.ts'
import { book } from '../helpers/booking.ts'
import { freshDatabase } from '../helpers/database.ts'
import { matchAll } from '../helpers/match.ts'
import { each, home } from './gw.ts'

const here = await home(t, { GW_DATABASE_URL: await freshDatabase(t) })
const { gw, json } = here
const { db } = await here.open()
const me = userInfo().username

interface Entry {
  entry_id: string
  kind: string
  amount: string
  balance: string
  actor: string | null
  note: string | null
  request_id: string | null
  key: string | null
}
const entries = (line: string) => json<Entry[]>(`ledger show ${line}`)

await json('user add alice --balance 10')
await json('user add bob')
await json('group add team --platform anthropic')
await json('group add pro --platform anthropic --billing subscription')
await json('sub assign --user alice --group pro')
const key = await json('key create --user alice --name k --quota 100')

/** A request as a gateway books it. */
async function charge(charged: bigint, more: { billing?: string; subscription_id?: number; at?: Date } = {}) {
  const at = more.at ?? new Date()
  const id = requestId(at.getTime())
  const { user_id } = await db
    .selectFrom('api_keys')
    .select('user_id')
    .where('id', '=', Number(key['id']))
    .executeTakeFirstOrThrow()
  const line = {
    request_id: id,
    user_id,
    key_id: Number(key['id']),
    group_id: null,
    account_id: null,
    platform: 'anthropic',
    model: 'm',
    upstream_model: null,
    upstream_request_id: null,
    stream: false,
    status: 200,
    input_tokens: 1,
    output_tokens: 1,
    cache_write_5m_tokens: 0,
    cache_write_1h_tokens: 0,
    cache_read_tokens: 0,
    web_searches: 0,
    mode: null,
    cost: String(charged),
    charged: String(charged),
    billing: 'balance',
    subscription_id: null,
    price: 'shipped m',
    partial: false,
    duration_ms: 5,
    first_token_ms: null,
    attempts: 1,
    ...more,
    at: at.toISOString(),
  }
  await book(db, [JSON.stringify(line)], 'UTC')
  return id
}

t.test('a balance is moved by who is named, and why', async t => {
  const added = await json(['user', 'topup', 'bob', '12.5', '--note', 'invoice 7'])
  t.match(added, { name: 'bob', old_balance: '0.00', balance: '12.50', entry_id: /^[0-9a-f-]{36}$/, status: 'active' })
  t.match(await json('user show bob'), { balance: '12.50' })
  const shown = await gw(['user', 'deduct', 'bob', '2.000000001', '--note', 'too much'], {
    env: { SUDO_USER: 'root2' },
  })
  t.match(shown.stdout, /^balance +10\.499999999$/m)
  t.match(shown.stdout, /^old balance +12\.50$/m)
  matchAll(t, await entries('--user bob'), [
    { kind: 'adjustment', amount: '-2.000000001', balance: '10.499999999', actor: 'root2', note: 'too much' },
    { kind: 'topup', amount: '12.50', balance: '12.50', actor: me, note: 'invoice 7', entry_id: added['entry_id'] },
  ])
  matchAll(t, await entries('--user alice'), [{ kind: 'opening', amount: '10.00', balance: '10.00', actor: me }])
})

t.test('a deduction stops at zero unless told otherwise', async t => {
  const refused = await gw('user deduct bob 10.5')
  t.match(refused, { code: 5, stdout: '', stderr: 'gw: the balance is 10.499999999 and may not fall below 0.00' })
  t.match(await json('user deduct bob 10.5 --allow-negative'), { balance: '-0.000000001' })
  t.match(await json('user topup bob 0.000000001'), { balance: '0.00' })
  t.match(await gw('user deduct bob 0.01'), { code: 5 })
})

t.test('what cannot be is refused before anything moves', async t => {
  const before = await entries('--user bob')
  const cases = [
    ['user topup bob 0', 2, /USD must be an amount in USD such as 12.50, more than 0/],
    ['user topup bob -5', 2, /more than 0, with at most 9 decimals, got "-5"/],
    ['user deduct bob 1.0000000001', 2, /at most 9 decimals/],
    ['user topup bbo 5', 6, /did you mean "bob"/],
    ['user topup bob', 2, /missing required argument 'usd'/],
    [['user', 'topup', 'bob', '1', '--note', ''], 2, /--note must be one line/],
    ['ledger show', 2, /--user/],
    ['ledger show --user bbo', 6, /did you mean "bob"/],
    ['ledger show --user bob --before 019', 6, /no entry "019"/],
    ['ledger show --user bob --kind topups', 2, /did you mean "topup"/],
  ] as const
  await each(cases, async ([line, code, says]) => {
    t.match(await gw(line), { code, stdout: '', stderr: says }, String(line))
  })
  const dry = await gw('user topup bob 5 --dry-run --json')
  t.match(dry, { code: 0, stderr: /^dry run: nothing changed$/m })
  t.match(JSON.parse(dry.stdout), { balance: '5.00', old_balance: '0.00' })
  t.match(await json('user deduct bob 5 --allow-negative --dry-run'), { balance: '-5.00' })
  t.same(await entries('--user bob'), before)
  t.match(await json('user show bob'), { balance: '0.00' })
})

t.test('movements at the same moment all count', async t => {
  await each(Array.from({ length: 8 }), () => json('user topup bob 1.1'))
  t.match(await json('user show bob'), { balance: '8.80' })
  const balances = (await entries('--user bob --kind topup --limit 8')).map(entry => entry.balance)
  t.same(balances, ['8.80', '7.70', '6.60', '5.50', '4.40', '3.30', '2.20', '1.10'])
})

t.test('a statement is read page by page', async t => {
  const all = await entries('--user bob')
  t.ok(all.length > 10)
  const first = await gw('ledger show --user bob --limit 5')
  t.equal(first.stdout.trimEnd().split('\n').length, 6)
  const [, next = ''] = /^older ones: gw (ledger show --user bob --before \S+)$/m.exec(first.stderr) ?? []
  const [page, rest] = await Promise.all([json<Entry[]>(`${next} --limit 5`), json<Entry[]>(next)])
  t.same(page, all.slice(5, 10))
  t.same(rest, all.slice(5))
  t.equal((await gw(next)).stderr, '', 'there is no page after the last')
  t.same(await entries('--user bob --since 2099-01-01'), [])
  await json('user add gone --balance 3')
  await json('user rm gone --yes')
  matchAll(t, await entries('--user gone'), [{ kind: 'opening' }], 'books outlive who they are about')
})

t.test('requests stand in the ledger, and all books agree', async t => {
  const [subscription] = await json<{ id: number }[]>('sub list --user alice')
  const request = await charge(1_500_000_001n)
  await charge(0n)
  await charge(2_000_000_000n, { billing: 'subscription', subscription_id: subscription!.id })
  await charge(250_000_000n, { at: new Date(Date.now() - 70 * 86_400_000) })
  matchAll(t, await entries('--user alice'), [
    { kind: 'charge', amount: '-0.25', balance: '8.249999999' },
    { kind: 'subscription', amount: '-2.00', balance: '8.499999999' },
    { kind: 'charge', amount: '-1.500000001', balance: '8.499999999', request_id: request, key: 'k', actor: null },
    { kind: 'opening', request_id: null },
  ])
  t.match(await json('key show k'), { used: '3.750000001', quota: '100.00' })
  t.match(await json('sub show alice/pro'), { daily: null })

  await t.test('also after the key was rotated, which keeps what it has used', async t => {
    const next = await json('key rotate k --grace 1h')
    t.match(next, { used: '3.750000001', quota: '100.00' })
    await charge(1n)
    t.match(await json('key show k-old'), { used: '3.750000002' })
    t.match(await json('key show k'), { used: '3.750000001' })
  })

  const agree = await gw('ledger verify')
  t.match(agree, { code: 0, stderr: '' })
  t.match(
    agree.stdout,
    /^the books agree: 3 users, \d+ entries, \d+\.\d+ given − 1\.750000002 charged = \d+\.\d+ left; 2\.00 of subscriptions\n$/,
  )
  matchAll(t, await json('ledger verify'), { ok: true, users: 3, charged: '1.750000002', differences: [] })
  t.match(await json('ledger verify --user alice'), { ok: true, users: 1, given: '10.00', balance: '8.249999998' })
})

t.test('whoever changes a book is found', async t => {
  const request = await charge(700n)
  const own = sql`entry_id = ${request}`
  const both = sql`request_id = ${request}`
  const cases: [why: string, tamper: ReturnType<typeof sql>, found: object[]][] = [
    [
      'a balance',
      sql`update balances set balance = balance + 1000000000 where user_id = (select id from users where name = 'alice')`,
      [{ user: 'alice', check: 'balance', expected: '8.249999298', found: '9.249999298', difference: '1.00' }],
    ],
    [
      'the balance of an entry',
      sql`update ledger set balance = balance + 5 where ${own}`,
      [
        { check: 'chain', of: `entry ${request}`, difference: '0.000000005' },
        { check: 'balance', difference: '-0.000000005' },
      ],
    ],
    [
      'an entry in the middle',
      sql`update ledger set amount = amount + 1000000000 where kind = 'opening' and user_id = (select id from users where name = 'alice')`,
      [{ check: 'chain', expected: '11.00', found: '10.00', difference: '-1.00' }],
    ],
    [
      'an entry that is gone',
      sql`delete from ledger where kind = 'topup' and balance = 2200000000`,
      [{ user: 'bob', check: 'chain', difference: '1.10' }],
    ],
    [
      'a charge that gives',
      sql`update ledger set amount = -amount where ${own}`,
      [
        { check: 'chain' },
        { check: 'sign', expected: null, found: '0.0000007' },
        { check: 'month', of: /^\d{4}-\d\d charge$/, difference: '-0.0000014' },
        { check: 'entry', of: `request ${request}`, expected: '-0.0000007', found: '0.0000007' },
        { check: 'key' },
      ],
    ],
    [
      'what a request was charged',
      sql`update usage set charged = charged - 100 where ${both}`,
      [
        { check: 'month', difference: '0.0000001' },
        { check: 'entry', expected: '-0.0000006', found: '-0.0000007', difference: '-0.0000001' },
      ],
    ],
    [
      'a request that is gone',
      sql`delete from usage where ${both}`,
      [{ check: 'month' }, { check: 'entry', of: `request ${request}`, expected: null, found: '-0.0000007' }],
    ],
    [
      'a charge that is gone',
      sql`delete from ledger where ${own}`,
      [
        { check: 'balance' },
        { check: 'month' },
        { check: 'entry', expected: '-0.0000007', found: null },
        { check: 'key' },
      ],
    ],
    [
      'a charge of what was free',
      sql`update usage set charged = 0 where ${both}`,
      [{ check: 'month' }, { check: 'entry', expected: '0.00', found: '-0.0000007' }],
    ],
    [
      'another payer',
      sql`update usage set user_id = (select id from users where name = 'bob') where ${both}`,
      [
        { user: 'alice', check: 'month' },
        { user: 'bob', check: 'month' },
        { user: 'bob', check: 'entry', found: null },
      ],
    ],
    [
      'another way of billing',
      sql`update usage set billing = 'subscription' where ${both}`,
      [{ check: 'month', of: /charge$/ }, { check: 'month', of: /subscription$/ }, { check: 'entry' }],
    ],
    [
      'what a key has used',
      sql`update key_usage set used = used - 1 where key_id = ${Number(key['id'])}`,
      [{ user: 'alice', check: 'key', of: `key k-old (${key['id']})`, difference: '-0.000000001' }],
    ],
    [
      'what a key carried over',
      sql`update key_usage set carried = carried + 7 where carried > 0`,
      [{ user: 'alice', check: 'key', of: /^key k \(/, difference: '-0.000000007' }],
    ],
  ]
  const books = ['balances', 'ledger', 'usage', 'key_usage']
  for (const [why, tamper, found] of cases) {
    // As a person at psql would, and put back from a copy.
    for (const table of books)
      await sql`create table ${sql.id(`copy_${table}`)} as select * from ${sql.id(table)}`.execute(db)
    await tamper.execute(db)
    const ran = await gw('ledger verify --json')
    t.equal(ran.code, 1, why)
    t.match(ran.stderr, /^the books do not agree: \d+ differences/)
    const { ok, differences } = JSON.parse(ran.stdout) as { ok: boolean; differences: object[] }
    t.equal(ok, false)
    t.match(differences, found, why)
    t.equal(differences.length, found.length, why)
    for (const table of books) {
      await sql`delete from ${sql.id(table)}`.execute(db)
      await sql`insert into ${sql.id(table)} select * from ${sql.id(`copy_${table}`)}`.execute(db)
      await sql`drop table ${sql.id(`copy_${table}`)}`.execute(db)
    }
  }
  t.equal((await gw('ledger verify')).code, 0, 'and all is well again')
  await sql`update balances set balance = 1 where user_id = (select id from users where name = 'bob')`.execute(db)
  const table = await gw('ledger verify')
  t.match(table, { code: 1, stdout: /^USER +CHECK .*\nbob +balance +balance +8\.80 +0\.000000001 +-8\.799999999\n$/ })
  t.match(await gw('ledger verify --user alice'), { code: 0 }, 'only in the books of whom it concerns')
  await sql`update balances set balance = 8800000000 where user_id = (select id from users where name = 'bob')`.execute(
    db,
  )
})

t.test('months of usage that were dropped are not missed', async t => {
  const month = new Date(Date.now() - 70 * 86_400_000).toISOString().slice(0, 7).replace('-', '')
  await sql`drop table ${sql.id(`usage_${month}`)}`.execute(db)
  t.match(await json('ledger verify'), { ok: true })
  await sql`insert into usage_kept values ('usage', now() + interval '1 minute')`.execute(db)
  await sql`delete from usage`.execute(db)
  t.match(await json('ledger verify'), { ok: true }, 'nor the rows before the moment that retention names')
  await sql`delete from usage_kept`.execute(db)
  t.match(await gw('ledger verify'), { code: 1 })
})

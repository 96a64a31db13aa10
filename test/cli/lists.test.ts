// Many records: Postgres narrows, orders and cuts lists of them; a command changes many of them, or none.
import { createHash } from 'node:crypto'
import { type KyselyPlugin, sql } from 'kysely'
import t from 'tap'
import { stored } from '../../src/cli/accounts.ts'
import { findAccount } from '../../src/core/record/account.ts'
import { findGroup } from '../../src/core/record/group.ts'
import { findKey } from '../../src/core/record/key.ts'
import { firstOf } from '../../src/core/record/listing.ts'
import { accountList, keyList, userList } from '../../src/core/record/lists.ts'
import { findUser } from '../../src/core/record/user.ts'
import { openEars } from '../../src/db/listen.ts'
import { byClass } from '../../src/platform/state.ts'
import { freshDatabase } from '../helpers/database.ts'
import { until } from '../helpers/gateway.ts'
import { home } from './gw.ts'

const here = await home(t, { GW_DATABASE_URL: await freshDatabase(t) })
const { gw, json } = here
const { db, connection } = await here.open()
const [USERS, ACCOUNTS, KEYS] = [250, 120, 2_100]

t.before(async () => {
  for (const [name, platform] of [
    ['g1', 'anthropic'],
    ['g2', 'openai'],
    ['vips', 'anthropic'],
  ] as const)
    await json(['group', 'add', name, '--platform', platform, ...(name === 'vips' ? ['--exclusive'] : [])])
  await sql`insert into users (name, concurrency, status)
    select 'u' || n, n % 7, case when n % 10 = 0 then 'disabled' else 'active' end from generate_series(1, ${USERS}::integer) n`.execute(
    db,
  )
  await sql`insert into balances (user_id, balance) select id, id * 1000000000::bigint from users`.execute(db)
  await sql`insert into accounts (name, platform, type, credential, concurrency, priority)
    select 'a' || n, case when n % 3 = 0 then 'openai' else 'anthropic' end, 'apikey', '', 5, 1 + n % 9 from generate_series(1, ${ACCOUNTS}::integer) n`.execute(
    db,
  )
  await sql`insert into account_groups select id, case when platform = 'openai' then 2 else 1 end from accounts where id % 4 > 0`.execute(
    db,
  )
  await sql`insert into api_keys (user_id, group_id, name, prefix, digest, status, expires_at, revoked_at)
    select 1 + n % ${USERS}::integer, case n % 3 when 0 then null else n % 3 end, 'k' || n, 'sk-' || lpad(n::text, 8, '0'), sha256(n::text::bytea),
      case when n % 50 = 0 then 'revoked' else 'active' end, case when n % 11 = 0 then now() - interval '1 hour' end,
      case when n % 50 = 0 then now() end from generate_series(1, ${KEYS}::integer) n`.execute(db)
})

const names = async (line: string) => (await json<{ name: string }[]>(line)).map(one => one.name)

t.test('a table shows the first hundred and says how many there are', async t => {
  const some = await gw('user list')
  t.equal(some.stdout.trim().split('\n').length, 101)
  t.equal(some.stderr, '100 of 250 users; --limit 0 shows all\n')
  const all = await gw('user list --limit 0')
  t.strictSame([all.stdout.trim().split('\n').length, all.stderr], [251, ''])
  t.equal((await gw('key list')).stderr, '100 of 2 058 keys; --limit 0 shows all\n')
  const two = await gw('key list --limit 2 --json')
  t.strictSame([JSON.parse(two.stdout).length, two.stderr], [2, '2 of 2 058 keys; --limit 0 shows all\n'])
})

t.test('what other programs read is whole, page after page', async t => {
  const { stdout, stderr } = await gw('key list --json --sort -id')
  const keys = JSON.parse(stdout) as { id: number }[]
  t.strictSame([keys.length, keys[0]!.id, keys.at(-1)!.id, stderr], [2_058, 2_099, 1, ''])
  t.equal(stdout, `${JSON.stringify(keys, null, 2)}\n`, 'one document, as it always was')
  const csv = (await gw('key list -o csv')).stdout.trim().split('\r\n')
  t.strictSame([csv.length, csv.filter(line => line.startsWith('used,id,name,')).length], [2_059, 1])
  t.equal((await gw('key list -o name')).stdout.trim().split('\n').length, 2_058)
  t.equal((await gw('key list -o yaml')).stdout.match(/^- used: /gm)?.length, 2_058)
  t.strictSame(await gw('key list --user u2 --group g2 --state revoked -o yaml'), {
    code: 0,
    stdout: '[]\n',
    stderr: 'no such key; gw key list shows all\n',
  })
})

t.test('lists are narrowed by what their records are and lead to', async t => {
  const count = async (line: string) => (await json<object[]>(line)).length
  const where = (said: (n: number) => boolean, to: number) =>
    Array.from({ length: to }, (_, i) => i + 1).filter(said).length
  t.equal(await count('user list --state disabled'), 25)
  t.equal(await count('user list --state disabled,active'), 250)
  t.equal(await count('key list --state revoked'), 42)
  t.equal(
    await count('key list --state expired'),
    where(n => n % 11 === 0 && n % 50 > 0, KEYS),
  )
  t.equal(await count('key list --all'), KEYS)
  t.equal(
    await count('key list --user u7 --user 8'),
    where(n => [6, 7].includes(n % 250) && n % 50 > 0, KEYS),
  )
  t.equal(
    await count('key list --group none'),
    where(n => n % 3 === 0 && n % 50 > 0, KEYS),
  )
  t.equal(
    await count('key list --group g1,none'),
    where(n => n % 3 < 2 && n % 50 > 0, KEYS),
  )
  t.equal(
    await count('key list --platform openai --state active'),
    where(n => n % 3 === 2 && n % 50 > 0 && n % 11 > 0, KEYS),
  )
  t.equal(await count('account list --group none'), 30)
  t.equal(
    await count('account list --platform openai --group g2'),
    where(n => n % 3 === 0 && n % 4 > 0, ACCOUNTS),
  )
  t.strictSame(await names('group list --platform anthropic'), ['g1', 'vips'])
  t.strictSame(await names('user list --group vips'), [])
  await json('group allow vips u3 u5')
  t.strictSame(await names('user list --group vips'), ['u3', 'u5'])
  t.strictSame(await names('group list --user u3'), ['g1', 'g2', 'vips'])
  t.ok((await names('user list --group g1')).includes('u2'))
})

t.test('lists are in the order of their columns, what is missing last', async t => {
  t.strictSame(await names('user list --sort -balance --limit 3'), ['u250', 'u249', 'u248'])
  t.strictSame(await names('user list --sort concurrency:desc,id --limit 2'), ['u6', 'u13'])
  t.strictSame((await names('key list --sort -expires_at --limit 3')).sort(), ['k11', 'k22', 'k33'])
  t.strictSame(await names('account list --sort priority --sort -id --limit 2'), ['a117', 'a108'])
  t.strictSame(await names('group list --sort platform:asc,-name'), ['vips', 'g1', 'g2'])
})

t.test('a slip is told with what is meant and what is allowed', async t => {
  for (const [line, code, stderr] of [
    ['user list --state actve', 2, 'gw: --state must be one of active disabled, got "actve"; did you mean "active"?'],
    [
      'account list --platform opnai',
      2,
      'gw: --platform must be one of anthropic openai gemini antigravity, got "opnai"; did you mean "openai"?',
    ],
    [
      'group list --sort nmae',
      2,
      'gw: --sort must be one of id name platform multiplier billing daily_limit weekly_limit monthly_limit created, or -COLUMN or COLUMN:desc for the other way round, got "nmae"; did you mean "name"?',
    ],
    ['user list --sort name:down', 2, /got "name:down"/],
    ['user list --limit -1', 2, /--limit must be a whole number of 0 or more/],
    ['key list --group g1,vip', 6, 'gw: no group "vip"; did you mean "vips"? (gw group list shows them)'],
    ['key list --all --state active', 2, 'gw: --all and --state exclude each other; give one of them'],
    [
      'account set --where grop=g1 --priority 3',
      2,
      'gw: --where must be FIELD=VALUE with one of state group platform, got "grop=g1"; did you mean "group"?',
    ],
    [
      'account set --where state=full,pused --priority 3',
      2,
      /^gw: --where state must be one of .* did you mean "paused"\?/,
    ],
    ['account set --priority 3', 2, /^gw: which account\? Name one or several, or say --where/],
    ['account set a1 --where group=g1 --priority 3', 2, /^gw: give names or --where, not both/],
    ['account set a1 a2 --name x', 2, 'gw: --name is for one account; name only that'],
    ['account set a1 a2 --api-key-file /dev/null', 2, 'gw: --api-key-file is for one account; name only that'],
    ['user set u1 u2 --email x@example.org', 2, 'gw: --email is for one user; name only that'],
  ] as const) {
    const ran = await gw(line)
    t.strictSame([ran.code, ran.stdout], [code, ''], line)
    if (typeof stderr === 'string') t.equal(ran.stderr, `${stderr}\n`, line)
    else t.match(ran.stderr, stderr, line)
  }
})

t.test('many are changed at once, heard once; or none, when one of them is not there or may not', async t => {
  const priorities = async () =>
    (await db.selectFrom('accounts').select('priority').orderBy('id').execute()).map(row => row.priority)
  const before = await priorities()
  const ears = await openEars(connection, { log() {} })
  t.teardown(() => ears.close())
  let heard = 0
  await ears.hear('gw_changed', () => heard++)

  t.strictSame(await gw('account set a1 b2 a3 zz9 --priority 77'), {
    code: 6,
    stdout: '',
    stderr:
      'gw: no account "b2"; did you mean "a2"? (gw account list shows them); no account "zz9" (gw account list shows them)\n',
  })
  t.match(await gw('account set a1 a2 a3 --group g1 --priority 77'), {
    code: 2,
    stderr: /g1" is of platform anthropic, account "a3" of openai/,
  })
  t.match(await gw('key set k1 k2 k50 --rpm 9'), { code: 6, stderr: /no key "k50"/ })
  t.match(await gw('key set k1 50 --rpm 9'), { code: 7, stderr: /key "k50" is revoked for good/ })
  t.match(await gw('key set k1 k2 --group vips'), { code: 5, stderr: /user "u2" was not let in/ })
  t.equal((await json<object[]>('account set --where platform=openai --priority 77 --dry-run')).length, 40)
  t.strictSame(await gw('account set --where state=error --priority 77 --json'), {
    code: 0,
    stdout: '[]\n',
    stderr: '',
  })
  t.strictSame(await priorities(), before, 'nothing changed')
  t.equal((await json<object[]>('key list --group vips')).length, 0)

  const set = await json<{ name: string; priority: number; groups: string[] }[]>(
    'account set a3 a6 9 a3 --priority 88 --group none',
  )
  t.strictSame(
    set.map(a => [a.name, a.priority, a.groups.length]),
    [
      ['a3', 88, 0],
      ['a6', 88, 0],
      ['a9', 88, 0],
    ],
  )
  t.match(
    (await gw('account set --where platform=openai --where group=none --group g2 --concurrency 3')).stderr,
    /^13 accounts changed\n$/,
  )
  t.equal((await json<object[]>('user set --where group=vips --concurrency 2')).length, 2)
  t.match(
    (await gw('key set --where state=active --where user=u2,u4 --models m1,m2 --group none')).stderr,
    /^16 keys changed\n$/,
  )
  t.match(await gw('user set --where state=active --concurrency 9'), {
    stderr: '100 of them are shown\n225 users changed\n',
  })
  await until(t, 'all five are heard', () => heard >= 5)
  await json('account pause a1 a2 --reason x')
  await json('account resume --where state=paused')
  await until(t, 'those too', () => heard >= 7)
  t.equal(heard, 7)
  t.strictSame((await json<{ groups: string[] }>('account show a3')).groups, ['g2'])
})

/** Counts rows as they come from Postgres. */
function counting() {
  let rows = 0
  const plugin: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      rows += result.rows.length
      return result
    },
  }
  const counted = db.withPlugin(plugin)
  return async (work: (of: typeof db) => Promise<unknown>) => {
    rows = 0
    await work(counted)
    return rows
  }
}

t.test('one record is one row, and a list no more than it shows', async t => {
  const rowsOf = counting()
  for (const [what, work] of Object.entries({
    user: of => findUser(of, 'u77'),
    group: of => findGroup(of, 'g2'),
    account: of => findAccount(of, '7'),
    key: of => findKey(of, 'k77'),
    'key by its beginning': of => findKey(of, 'sk-00000077'),
  } satisfies Record<string, (of: typeof db) => Promise<unknown>>))
    t.equal(await rowsOf(work), 1, what)
  t.equal(
    await rowsOf(async of => firstOf(await keyList(of, { user: ['u3'] }), 2)),
    1 + 3 + 1,
    'one more, and how many',
  )
  t.equal(await rowsOf(async of => firstOf(await userList(of), 50)), 51 + 1)
})

t.test('Postgres says the state of each account as the gateway would', async t => {
  const classes = Object.keys(byClass) as (keyof typeof byClass)[]
  const now = Date.now()
  // The same throws of the dice in every run.
  let thrown = 0
  const dice = (sides: number) => createHash('sha256').update(`${++thrown}`).digest().readUInt32BE() % sides
  const one = <T>(of: readonly T[]): T => of[dice(of.length)]!
  for (let id = 1; id <= ACCOUNTS; id++) {
    const expires_at = one([null, null, new Date(now - 1), new Date(now), new Date(now + 60_000)])
    await db
      .updateTable('accounts')
      .set({ status: one([...Array(6).fill('active'), 'paused', 'error', 'expired']), expires_at })
      .where('id', '=', id)
      .execute()
    for (const model of ['', 'm'])
      if (dice(2) === 0)
        await db
          .insertInto('account_health')
          .values({
            account_id: id,
            model,
            class: one(classes),
            reason: 'r',
            until: new Date(now + one([-5_000, 0, 1, 60_000, 60_000, 60_000])),
            evidence: true,
            strikes: 1,
            since: new Date(now),
            // Also before the clock was set back.
            updated_at: new Date(now + one([-5_000, 0, 1, 30_000, 3_600_000])),
          })
          .execute()
  }
  const live = new Map<string, string>(
    Array.from({ length: 20 }, (_, n) => [`a${n + 50}`, one(['full', 'ejected', 'available'])] as const),
  )
  const states = { byClass, now: new Date(now) }
  const all = await (await accountList(db, states)).execute()
  const expected = new Map((await stored(db, all, now)).map(account => [account.name, account.state as string]))
  t.strictSame(
    [...new Set(expected.values())].sort(),
    ['available', 'ejected', 'error', 'expired', 'overloaded', 'paused', 'rate_limited'],
    'each state there is',
  )
  const check = async (of: typeof states & { live?: typeof live }) => {
    for (const state of new Set(expected.values())) {
      const them = await (await accountList(db, of, { state: [state] })).execute()
      t.strictSame(
        them.map(a => a.name),
        [...expected].flatMap(([name, is]) => (is === state ? name : [])),
        state,
      )
    }
    const order = await (await accountList(db, of, {}, [{ column: 'state', descending: false }])).execute()
    const words = order.map(account => expected.get(account.name)!)
    t.strictSame(new Set(words).size, words.filter((word, i) => word !== words[i - 1]).length, 'together in order')
  }
  await check(states)
  for (const account of all)
    if (live.has(account.name) && account.status === 'active' && expected.get(account.name) !== 'expired')
      expected.set(account.name, live.get(account.name)!)
  await check({ ...states, live })
})

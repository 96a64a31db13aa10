// gw usage: rows page by page, sums, and exports that a spreadsheet and a script can both trust.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { sql } from 'kysely'
import t from 'tap'
import { parse } from 'yaml'
import { columns as widthOf } from '../../src/lib/width.ts'
import { book } from '../helpers/booking.ts'
import { freshDatabase } from '../helpers/database.ts'
import { matchAll } from '../helpers/match.ts'
import { each, home, noTerminal } from './gw.ts'

const here = await home(t, { GW_DATABASE_URL: await freshDatabase(t) })
const { gw, spawned, json } = here
const { db } = await here.open()
const apiKey = await here.file('key.txt', 'sk-upstream')
await json('user add bob --balance 100')
await json('user add eve')
await json('group add team --platform anthropic')
await json(['account', 'add', 'main', '--platform', 'anthropic', '--group', 'team', '--api-key-file', apiKey])
await json('key create --user bob --group team --name dry')
// Of these nobody has used anything.
await json('group add idle --platform anthropic')
await json(['account', 'add', 'spare', '--platform', 'anthropic', '--group', 'idle', '--api-key-file', apiKey])
await json('key create --user bob --group idle --name wet')
const ids = {
  user_id: (await json<{ id: number }>('user show bob')).id,
  key_id: (await json<{ id: number }>('key show dry')).id,
  account_id: (await json<{ id: number }>('account show main')).id,
  group_id: (await json<{ id: number }>('group show team')).id,
}

function line(n: number, at: number, more: object = {}): string {
  const time = at.toString(16).padStart(12, '0')
  return JSON.stringify({
    request_id: `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${String(n).padStart(12, '0')}`,
    at: new Date(at).toISOString(),
    ...ids,
    platform: 'anthropic',
    model: 'm',
    upstream_model: 'm',
    upstream_request_id: null,
    stream: true,
    status: 200,
    input_tokens: 10,
    output_tokens: 5,
    cache_write_5m_tokens: 1,
    cache_write_1h_tokens: 2,
    cache_read_tokens: 3,
    web_searches: 1,
    mode: null,
    cost: '1500000000',
    charged: '3000000001',
    billing: 'balance',
    subscription_id: null,
    price: null,
    partial: false,
    duration_ms: 100,
    first_token_ms: 10,
    attempts: 1,
    ...more,
  })
}

const hour = 3_600_000
const now = Date.now()
await book(
  db,
  [
    line(1, now - hour),
    line(2, now - 2 * hour, { model: 'other', status: 500, duration_ms: 300, first_token_ms: null }),
    line(3, now - 3 * hour, { account_id: null, group_id: null }),
  ],
  'UTC',
)
// Apart in time: what every table must not break on.
const old = Date.UTC(2026, 1, 28, 23, 59)
await book(
  db,
  ['=1+1', '+a', '-a', '@a', '\ta', 'two\r\n"lines", quoted', "it's", '😀'].map((model, i) =>
    line(10 + i, old + i, { model, upstream_model: i === 0 ? 'vendor/m' : model, mode: i === 1 ? 'priority' : null }),
  ),
  'UTC',
)
const recent = ['--since', '1d']
const plain = { NO_COLOR: '1' }

t.test('usage is listed and summed', async t => {
  matchAll(t, await json(['usage', 'list', ...recent]), [
    {
      user: 'bob',
      key: 'dry',
      group: 'team',
      account: 'main',
      model: 'm',
      upstream_model: 'm',
      status: 200,
      cost: '1.50',
      charged: '3.000000001',
      web_searches: 1,
      mode: null,
      stream: true,
    },
    { model: 'other', status: 500 },
    { account: null, group: null },
  ])
  t.equal((await json<unknown[]>('usage list --since 90m')).length, 1)
  t.equal((await json<unknown[]>('usage list --since 150m --until 90m')).length, 1)
  matchAll(t, await json('usage list --model other --user bob --key dry --account main --group team'), [
    { status: 500 },
  ])
  for (const filter of ['--user eve', '--key wet', '--account spare', '--group idle', '--model none'])
    for (const what of ['list', 'stats', 'export'])
      t.equal((await gw(`usage ${what} --json ${filter}`)).stdout.replace('[]', '').trim(), '', `${what} ${filter}`)
  t.match((await gw(['usage', 'list', ...recent])).stdout, /^1h +\S+001 +bob +dry +main +m +200 +10 +5 +3 +3 /m)

  matchAll(t, await json(['usage', 'stats', ...recent]), [
    {
      name: 'bob',
      id: ids.user_id,
      requests: 3,
      errors: 1,
      partials: 0,
      cost: '4.50',
      charged: '9.000000003',
      input_tokens: 30,
      cache_write_tokens: 9,
      web_searches: 3,
      duration_ms: 167,
      first_token_ms: 10,
    },
  ])
  matchAll(t, await json(['usage', 'stats', '--by', 'model', ...recent]), [
    { name: 'm', requests: 2 },
    { name: 'other', requests: 1 },
  ])
  matchAll(t, await json(['usage', 'stats', '--by', 'account', '--until', '150m', ...recent]), [
    { name: '-', id: null, requests: 1 },
  ])
  await each(['key', 'account', 'group', 'day', 'hour', 'minute'], async by => {
    const rows = await json<{ requests: number }[]>(['usage', 'stats', '--by', by, ...recent])
    t.equal(
      rows.reduce((sum, row) => sum + row.requests, 0),
      3,
      by,
    )
  })
  t.match((await gw(['usage', 'stats', '--by', 'model', ...recent])).stdout, /^NAME +REQUESTS +ERRORS .*\nm +2 +0 +20 /)
  t.match(await gw('usage stats --user eve'), { code: 0, stdout: '', stderr: 'no usage yet\n' })
})

t.test('a list names the command line of its next page, and --all has them all', async t => {
  const all = await json<{ request_id: string }[]>('usage list')
  t.equal(all.length, 11)
  const seen: object[] = []
  let words: readonly string[] = ['usage', 'list', '--user', 'bob', '--limit', '4', '--json']
  for (;;) {
    const { code, stdout, stderr } = await gw(words)
    t.equal(code, 0)
    seen.push(...(JSON.parse(stdout) as object[]))
    const [, next] = /^next page: gw (usage list .*)\n$/.exec(stderr) ?? []
    if (next === undefined) break
    words = [...next.split(' '), '--json']
  }
  t.same(seen, all)
  const lines = (await gw('usage list --all --json')).stdout
  t.same(
    lines
      .trimEnd()
      .split('\n')
      .map(one => JSON.parse(one) as object),
    all,
    'an object a line',
  )
  t.equal((await gw('usage list --all')).stdout.split('\n').length, all.length + 2)
  const { stderr } = await gw(['usage', 'list', '--limit', '1', '--model', "it's", '--until', '2026-03-02'])
  t.match(
    stderr,
    /^next page: gw usage list --limit 1 --model 'it'\\''s' --until 2026-03-02T00:00:00.000Z --before 2026-02-28T23:59:00.006Z,/,
  )
})

t.test('an export as CSV', async t => {
  const file = path.join(here.folder, 'out.csv')
  t.match(await gw(['usage', 'export', '--until', '2026-03-02', '--output', file]), {
    code: 0,
    stdout: '',
    stderr: `8 rows in ${file}\n`,
  })
  const id = (i: number) => (JSON.parse(line(10 + i, old + i)) as { request_id: string }).request_id
  const row = (i: number, model: string, upstream: string, mode = '') =>
    `${id(i)},2026-02-28T23:59:00.00${i}Z,bob,dry,team,main,anthropic,${model},${upstream},true,200,10,5,1,2,3,1,${mode},1.50,3.000000001,balance,100,10,false,,0,0\r\n`
  t.equal(
    readFileSync(file, 'utf8'),
    'request_id,at,user,key,group,account,platform,model,upstream_model,stream,status,input_tokens,output_tokens,cache_write_5m_tokens,' +
      'cache_write_1h_tokens,cache_read_tokens,web_searches,mode,cost,charged,billing,duration_ms,first_token_ms,partial,geo,cache_write_30m_tokens,cache_write_12h_tokens\r\n' +
      row(0, "'=1+1", 'vendor/m') +
      row(1, "'+a", "'+a", 'priority') +
      row(2, "'-a", "'-a") +
      row(3, "'@a", "'@a") +
      row(4, "'\ta", "'\ta") +
      row(5, '"two\r\n""lines"", quoted"', '"two\r\n""lines"", quoted"') +
      row(6, "it's", "it's") +
      row(7, '😀', '😀'),
  )
  t.match(
    (await gw(['usage', 'export', ...recent])).stdout,
    /,bob,dry,,,anthropic,m,m,true,/,
    'nothing for what there is none of',
  )
})

t.test('an export that is refused writes nothing: neither a file nor a heading', async t => {
  const before = readdirSync(here.folder)
  for (const ask of ['--user nobody', '--key nokey', '--account none', '--group none'])
    for (const to of ['', `--output ${path.join(here.folder, 'none.csv')}`])
      t.match(await gw(`usage export ${ask} ${to}`), { code: 6, stdout: '', stderr: /^gw: no \w+ "\w+"/ }, ask + to)
  t.match(await gw(['usage', 'export', '--output', here.folder]), { code: 1, stdout: '', stderr: /is a folder/ })
  t.strictSame(readdirSync(here.folder), before)
})

t.test('an export as NDJSON, with every text as it is', async t => {
  const rows = (text: string) =>
    text
      .trimEnd()
      .split('\n')
      .map(one => JSON.parse(one) as { model: string })
  const { stdout, stderr } = await gw('usage export --format ndjson')
  t.same(rows(stdout), (await json<object[]>('usage list')).reverse())
  t.equal(rows(stdout)[0]!.model, '=1+1')
  t.equal(stderr, '')
  t.equal((await gw('usage export --json')).stdout, stdout)
  t.same(rows((await gw('usage export --json --model other --progress')).stdout).length, 1)
  t.match(await gw('usage export --json --model other --progress'), { stderr: '1 row\n' })
})

t.test('an export that comes to nothing leaves nothing', async t => {
  const file = path.join(here.folder, 'never.csv')
  t.match(await gw(['usage', 'export', '--user', 'bobb', '--output', file]), { code: 6, stderr: /did you mean "bob"/ })
  t.match(await gw(['usage', 'export', '--output', `${here.folder}/none/x.csv`]), {
    code: 1,
    stderr: /^gw: --output \S+x\.csv cannot be written: no such file or directory\n$/,
  })
  // Somebody holds the table, so that the signal finds the export at work.
  await db.connection().execute(async holder => {
    await sql`begin`.execute(holder)
    await sql`lock table usage in access exclusive mode`.execute(holder)
    const { promise: interrupted, resolve } = Promise.withResolvers<void>()
    const ended = spawned(['usage', 'export', '--output', file], {
      async started(child) {
        while (!readdirSync(here.folder).some(name => name.startsWith('never.csv.'))) await new Promise(setImmediate)
        child.kill('SIGINT')
        resolve()
      },
    })
    await interrupted
    await sql`rollback`.execute(holder)
    t.match(await ended, { code: 130, stdout: '' })
  })
  t.notOk(existsSync(file))
  t.same(
    readdirSync(here.folder).filter(name => name.startsWith('never')),
    [],
  )
})

t.test('a reader that leaves is no error', async t => {
  await each(['usage export', 'usage list --all --json'], async words => {
    const ran = await spawned(words, { started: child => child.stdout!.destroy() })
    t.match(ran, { code: 0, stderr: '' }, words)
  })
})

t.test('what is wrong is said, with its exit code', async t => {
  const wrong: [string, number, RegExp][] = [
    ['usage list --user bobb', 6, /no user "bobb"; did you mean "bob"/],
    ['usage list --account mian', 6, /no account "mian"; did you mean "main"/],
    ['usage stats --group 99', 6, /no group "99"/],
    ['usage stats --key dri', 6, /no key "dri"; did you mean "dry"/],
    ['usage stats --by minut', 2, /did you mean "minute"/],
    ['usage list --before yesterday', 2, /--before must be a cursor/],
    ['usage list --all --limit 5', 2, /exclude each other/],
    ['usage list --until never', 2, /--until must be a duration/],
    ['usage export --format xml', 2, /--format must be one of csv ndjson/],
    ['usage export --json --format csv', 2, /exclude each other/],
  ]
  await each(wrong, async ([words, code, stderr]) => t.match(await gw(words), { code, stdout: '', stderr }, words))
})

t.test('progress is told on a terminal', { skip: noTerminal }, async t => {
  const file = path.join(here.folder, 'seen.csv')
  t.match(await here.onTerminal(['usage', 'export', '--output', file]), { code: 0, stdout: /11 rows in \S+seen\.csv/ })
})

t.test('what is gone keeps its name in the books', async t => {
  await json('account rm main --yes')
  await json('user rm bob --yes')
  matchAll(t, await json('usage list --limit 1'), [{ account: 'main', user: 'bob' }])
  t.equal((await json<unknown[]>('usage list --user bob')).length, 11)
})

t.test('old times that retention has dropped are said to be wider', async t => {
  await sql`insert into usage_kept values ('usage', '2026-03-01'), ('usage_minute', '2026-03-01'), ('usage_hour', '2026-03-01')`.execute(
    db,
  )
  const ran = await gw('usage stats --by day --since 2026-02-28T12:00Z --until 2026-02-28T23:59Z --json')
  t.match(ran, {
    code: 0,
    stderr: /^retention has dropped .* from 2026-02-28T00:00:00.000Z until 2026-03-01T00:00:00.000Z\n$/,
  })
  matchAll(t, JSON.parse(ran.stdout), [{ name: '2026-02-28', requests: 8 }])
})

t.test('80 columns show whose request it is, whole, and what it cost; and say what they do not show', async t => {
  const many = ['usage', 'list', ...recent]
  for (const columns of [120, 100, 80, 60]) {
    const { stdout, stderr } = await gw(many, { columns, env: plain })
    const [head, ...rows] = stdout.trimEnd().split('\n')
    for (const line of [head!, ...rows]) t.ok(widthOf(line) <= columns, `${columns}: ${line}`)
    t.match(head, /REQUEST .*CHARGED/)
    if (columns > 110) t.match(head, /CHARGED +PARTIAL/, 'and whether a part of that is reckoned')
    for (const row of rows) t.match(row, / [0-9a-f]{8}-[0-9a-f]{4}-7000-8000-\d{12} .* 3\.000000001/)
    t.match(stderr, /^not shown for want of room: .*first_ms; -o wide shows all, --columns a,b those you name\n$/)
    t.equal(stderr.split('\n').length, 2, 'in one line')
  }
  const narrow = await gw(many, { columns: 40, env: plain })
  t.match(narrow.stdout, /^REQUEST\n([0-9a-f-]{36}\n){3}$/)
  const wide = await gw([...many, '-o', 'wide'], { columns: 80, env: plain })
  t.match(wide.stdout.split('\n')[0], /^AT +REQUEST .* FIRST MS$/)
  t.equal(wide.stderr, '')
  t.match(await gw(many), { stdout: wide.stdout.replace(/\n.*/s, ''), stderr: '' }, 'no terminal, no limit')
})

t.test('a list is what other programs need', async t => {
  const two = ['usage', 'list', '--since', '150m']
  const chosen = await gw([...two, '--columns', 'status,charged,model', '--no-headers'], { columns: 80, env: plain })
  t.same(chosen, { code: 0, stdout: '   200  3.000000001  m\n   500  3.000000001  other\n', stderr: '' })
  t.match(await gw([...two, '--columns', 'upstream_model']), { stdout: 'UPSTREAM MODEL\nm\nm\n' })
  t.match(await gw([...two, '--columns', 'statsu']), { code: 2, stderr: /there is no "statsu"; did you mean "status"/ })
  t.match(await gw([...two, '--columns', 'a,,b']), { code: 2, stderr: /names separated by commas/ })
  t.match(await gw([...two, '-o', 'xml']), { code: 2, stderr: /table wide csv yaml json name/ })
  t.match(await gw([...two, '--json', '-o', 'csv']), { code: 2, stderr: /exclude each other/ })
  t.match(await gw([...two, '-o', 'name', '--columns', 'user']), { code: 2, stderr: /--columns goes with/ })

  const rows = await json<Record<string, unknown>[]>(two)
  t.strictSame(JSON.parse((await gw([...two, '-o', 'json'])).stdout), rows)
  t.strictSame(parse((await gw([...two, '-o', 'yaml'])).stdout), rows)
  t.equal((await gw([...two, '-o', 'name'])).stdout, rows.map(row => `${row['request_id']}\n`).join(''))
  const csv = (await gw([...two, '-o', 'csv'])).stdout.split('\r\n')
  t.equal(csv[0], Object.keys(rows[0]!).join(','))
  t.equal(csv[1]!.split(',')[0], rows[0]!['request_id'])
  t.match(await gw([...two, '-o', 'csv', '--columns', 'at,cost']), {
    stdout: `at,cost\r\n${rows[0]!['at']},1.50\r\n${rows[1]!['at']},1.50\r\n`,
  })
  t.match(await gw([...two, '-o', 'csv', '--columns', 'cost', '--no-headers']), { stdout: '1.50\r\n1.50\r\n' })
  t.match(await gw('usage list --user eve -o yaml'), { code: 0, stdout: '[]\n' })
  const all = await gw(['usage', 'list', '--all', '-o', 'csv', '--columns', 'model'])
  t.equal(all.stdout.split('model\r\n').length, 2, 'one heading, however many pages')
  t.match(await gw('group list -o name'), { stdout: 'team\n' })
})

t.test('keys at 80 columns: long names give, the prefix does not, and the end comes before the beginning', async t => {
  const name = '東京の長い名前'.repeat(4)
  await json('user add kim')
  await json(['key', 'create', '--user', 'kim', '--name', name, '--expires', '30d'])
  for (const columns of [200, 80, 40]) {
    const { stdout } = await gw('key list', { columns, env: plain })
    for (const line of stdout.trimEnd().split('\n')) t.ok(widthOf(line) <= columns, `${columns}: ${line}`)
    const row = stdout.split('\n').find(line => line.includes('東'))!
    if (columns === 40) continue
    t.match(row, /sk-\S+… .*in 30d/)
    if (columns === 200) t.match(stdout, / EXPIRES +CREATED\n/)
    else t.notMatch(stdout, 'CREATED')
  }
})

// What commands do to records that are there: nothing in a dry run, questions before the end.

import { readdirSync } from 'node:fs'
import t from 'tap'
import { freshDatabase } from '../helpers/database.ts'
import { matchAll } from '../helpers/match.ts'
import { each, home, noTerminal } from './gw.ts'

const here = await home(t, { GW_DATABASE_URL: await freshDatabase(t) })
const { gw, json } = here
const { db } = await here.open()
const apiKey = await here.file('key.txt', 'sk-upstream')
await json('user add bob --balance 1')
await json('group add team --platform anthropic')
await json(['account', 'add', 'main', '--platform', 'anthropic', '--group', 'team', '--api-key-file', apiKey])
await json('key create --user bob --group team --name dry')

t.test('a dry run prints the same and changes nothing', async t => {
  const nouns = ['users', 'balances', 'groups', 'accounts', 'account_groups', 'api_keys'] as const
  const everything = async () => {
    const tables = await Promise.all(nouns.map(table => db.selectFrom(table).selectAll().execute()))
    // In the order of the text: an update moves a row.
    return tables.map(rows =>
      rows.map(row => JSON.stringify(row, (_, v) => (typeof v === 'bigint' ? `${v}` : v))).sort(),
    )
  }
  const before = await everything()
  const writes = [
    [['user', 'add', 'carol'], { name: 'carol' }],
    [['user', 'set', 'bob', '--concurrency', '9'], { concurrency: 9 }],
    [['user', 'rm', 'bob'], { name: 'bob' }],
    [['group', 'add', 'g2', '--platform', 'gemini'], { name: 'g2' }],
    [['group', 'set', 'team', '--multiplier', '0'], { multiplier: 0 }],
    [['group', 'rm', 'team'], { name: 'team' }],
    [['account', 'add', 'a2', '--platform', 'gemini', '--api-key-file', apiKey], { name: 'a2' }],
    [['account', 'set', 'main', '--priority', '1'], { priority: 1 }],
    [['account', 'pause', 'main'], { status: 'paused' }],
    [['account', 'resume', 'main'], { status: 'active' }],
    [['account', 'rm', 'main'], { name: 'main' }],
    [['key', 'create', '--user', 'bob'], { user: 'bob', key: /^sk-/ }],
    [['key', 'set', 'dry', '--name', 'wet'], { name: 'wet' }],
    [['key', 'rotate', 'dry'], { name: 'dry', key: /^sk-/ }],
    [['key', 'revoke', 'dry'], { status: 'revoked' }],
    [['db', 'migrate'], { applied: [] }],
  ] as const
  await each(writes, async ([args, result]) => {
    const ran = await gw([...args, '--dry-run', '--json'])
    t.match(ran, { code: 0, stderr: /^dry run: nothing changed$/m }, args.join(' '))
    t.match(JSON.parse(ran.stdout), result)
  })
  t.match(await gw('user add bob --dry-run'), { code: 7 }, 'it validates as the real one does')
  t.same(await everything(), before)
})

t.test('a price says which layer and which rule answered', async t => {
  t.match(await json('price show claude-sonnet-4-5'), {
    model: 'claude-sonnet-4-5',
    match: 'exact',
    layer: 'shipped',
    input: '3.00',
  })
  t.match(await json('price show claude-sonnet-4-5-20250929'), {
    match: 'release',
    rule: 'a dated release of claude-sonnet-4-5',
  })
  await db
    .insertInto('prices')
    .values({
      model: 'claude-sonnet-4-5',
      input: 7n,
      output: 8n,
      cache_write_5m: null,
      cache_write_1h: null,
      cache_read: null,
      tier: null,
    })
    .execute()
  t.match(await json('price show claude-sonnet-4-5'), { layer: 'operator', input: '0.000000007' })
  t.match(await gw('price show claude-sonet-4-5'), { code: 6, stderr: /did you mean "claude-sonnet-4-5"/ })
  t.ok((await json<unknown[]>('price list')).length > 10)
})

t.test('the schema is up to date', async t => {
  matchAll(t, await json('db status'), {
    kind: 'external',
    server_version: /^\d+/,
    pending: 0,
    migrations: readdirSync(new URL('../../src/db/migrations', import.meta.url))
      .filter(name => name.endsWith('.sql'))
      .sort()
      .map(name => ({ name })),
  })
  t.match(await gw('db migrate'), { code: 0, stdout: 'the schema is up to date\n', stderr: '' })
})

t.test('what cannot be undone is asked about on a terminal', { skip: noTerminal }, async t => {
  await json('user add dora')
  const remove = (typed: string) => here.onTerminal(['user', 'rm', 'dora'], { typed })
  t.match(await remove('n\n'), { code: 5, stdout: /Remove user "dora" and revoke its keys for good\? \[y\/N\] / })
  t.match(await remove('\n'), { code: 5, stdout: /nothing changed/ })
  t.match(await remove('\x04'), { code: 5 }, 'Ctrl-D')
  t.match(await remove('\x03'), { code: 130 }, 'Ctrl-C')
  t.match(await json('user show dora'), { name: 'dora' })
  t.match(await remove('y\n'), { code: 0 })
  t.match(await gw('user show dora'), { code: 6 })
})

t.test('groups and accounts leave, and what belonged to them stays', async t => {
  t.match(await gw('group rm team'), { code: 5, stdout: '', stderr: /^gw: there is no terminal .*--yes.*\n$/ })
  t.match(await json('group rm team --yes'), { name: 'team' })
  t.match(await json('key show dry'), { group: null, status: 'active' })
  t.match(await json('account rm main --yes'), { name: 'main' })
  t.match(await json('user rm bob --yes'), { name: 'bob' })
  t.match(await gw('key show dry'), { code: 6 }, 'its keys are revoked')
})

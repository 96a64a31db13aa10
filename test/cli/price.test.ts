// gw price: what is set, imported and taken away, over a real Postgres; and what is refused.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { operatorPrices } from '../../src/core/price/price.ts'
import { freshDatabase } from '../helpers/database.ts'
import { matchAll } from '../helpers/match.ts'
import { each, home } from './gw.ts'

const here = await home(t, { GW_DATABASE_URL: await freshDatabase(t) })
const { gw, json } = here
const { db } = await here.open()
const litellm = fileURLToPath(new URL('../fixtures/litellm.json', import.meta.url))
const shipped = fileURLToPath(new URL('../../config/prices.json', import.meta.url))

type Json = Record<string, unknown>
const stored = () => db.selectFrom('prices').selectAll().orderBy('model').orderBy('effective_from').execute()
const own = ['price', 'set', 'Own', '--input', '1', '--output', '4']

t.test('each lifetime of a cache has a rate, of its own or of another', async t => {
  const args = ['price', 'set', 'kept', '--input', '10', '--output', '50', '--cache-read', '1']
  await json([...args, '--cache-write-30m', '12.5', '--cache-write-12h', '20'])
  const rates = { cache_write_5m: '12.50', cache_write_30m: '12.50', cache_write_1h: '20.00', cache_write_12h: '20.00' }
  t.match(await json('price show kept'), rates)
  t.match((await stored())[0], {
    ...{ cache_write_5m: null, cache_write_1h: null },
    ...{ cache_write_30m: 12_500_000_000n, cache_write_12h: 20_000_000_000n },
  })
  const lint = (await json('price lint --verbose')) as unknown as Json[]
  t.match(
    lint.find(({ model, field }) => model === 'kept' && field === 'cache_write'),
    {
      level: 'info',
      text: 'has not a rate for each lifetime; billed are cache_write_5m as cache_write_30m, cache_write_1h as cache_write_12h',
    },
  )
  t.match(await gw([...args, '--cache-write-30m', '12.5', '--cache-write-12h', '12']), {
    code: 5,
    stderr: /cache_write_12h is below cache_write_30m, which is kept less long/,
  })
  await json('price rm kept --yes')
})

t.test('a price is set, shown, changed and taken away', async t => {
  const full = [
    ...own,
    '--cache-write-5m',
    '1.25',
    '--cache-write-1h',
    '2',
    '--cache-read',
    '0.1',
    '--web-search',
    '0.01',
  ]
  const tier = ['--tier-above', '200000', '--tier-input', '2', '--tier-output', '6', '--tier-cache-read', '0.2']
  const more = [
    ...tier,
    '--mode',
    'priority=2,8',
    '--mode',
    'flex=0.5,2,0.05',
    '--geo',
    'us=1.1',
    '--from',
    '2026-01-01',
  ]
  const first = { layer: 'operator', model: 'own', from: '2026-01-01T00:00:00.000Z', replaces: null, changes: [] }
  t.match(await json([...full, ...more, '--dry-run']), first)
  t.same(await stored(), [], 'a dry run changes nothing')
  t.match(await json([...full, ...more]), first)
  const shown = await json('price show own')
  t.match(shown, {
    requested: 'own',
    match: 'exact',
    rule: 'exact name',
    layer: 'operator',
    vendor: null,
    unit: /1,000,000/,
    input: '1.00',
    output: '4.00',
    cache_write_5m: '1.25',
    cache_write_1h: '2.00',
    cache_read: '0.10',
    tier: {
      above: 200_000,
      input: '2.00',
      output: '6.00',
      cache_write_5m: '2.50',
      cache_write_1h: '4.00',
      cache_read: '0.20',
    },
    modes: {
      priority: { input: '2.00', output: '8.00', cache_write_5m: '2.50', cache_write_1h: '4.00', cache_read: '0.20' },
      flex: { input: '0.50', output: '2.00', cache_write_5m: '0.625', cache_write_1h: '1.00', cache_read: '0.05' },
    },
    geo: { us: '1.10' },
    web_search: '0.01',
    source: 'gw price set',
  })
  matchAll(t, await operatorPrices(db), [{ model: 'own', webSearch: 10_000_000n, tier: { above: 200_000 } }])
  const text = await gw('price show vendor/own-latest')
  t.match(text.stdout, /^rule +a dated release of own, without the path vendor\/$/m)
  t.match(text.stdout, /^mode flex +input=0\.50, output=2\.00/m)

  const dearer = await gw([...own.with(4, '1.5'), '--cache-read', '0.1', '--json'])
  const { changes, ...dear } = JSON.parse(dearer.stdout) as { changes: object[] }
  t.match(dear, { input: '1.50', replaces: { input: '1.00', from: '2026-01-01T00:00:00.000Z' } })
  matchAll(t, changes.slice(0, 2), [{ field: 'input', before: '1.00', after: '1.50' }, { field: 'cache_write_5m' }])
  t.match(dearer.stderr, /^own: tier is gone, which the price set until now has/m, 'warnings are told')
  t.match(dearer.stderr, /^own: modes\.flex is gone/m)
  t.match(dearer.stderr, /^own: web_search is gone, 0\.01/m)
  t.match((await gw([...own, '--cache-read', '0.1'])).stdout, /^changes +input 1\.50 → 1\.00 \(÷1\.5\)$/m)
  t.match(await gw(own), { code: 5, stderr: /cache_read jumps/ }, 'a lost cache price')

  t.match(
    await json('price show own --at 2026-05-01'),
    { input: '1.00', web_search: '0.01' },
    'the past keeps its price',
  )
  t.match(await gw('price show own --at 2025-12-31'), { code: 6 })
  t.equal((await json<Json[]>('price list --model own')).length, 1)
  const all = await json<Json[]>('price list --all --model own')
  t.same(
    all.map(price => price['state']),
    ['current', 'past', 'past'],
  )

  t.match(await gw('price rm own'), { code: 5, stdout: '', stderr: /no terminal .*--yes to remove the 3 prices/ })
  t.match(await gw('price rm own --from 2026-01-02 --yes'), { code: 6, stderr: /no price of "own" was set from then/ })
  matchAll(t, await json('price rm OWN --from 2026-01-01 --yes --dry-run'), [{ model: 'own', input: '1.00' }])
  t.equal((await stored()).length, 3)
  matchAll(t, await json('price rm OWN --from 2026-01-01 --yes'), [{ model: 'own', from: '2026-01-01T00:00:00.000Z' }])
  t.equal((await json<Json[]>('price rm own --yes')).length, 2)
  t.match(await gw('price rm own --yes'), { code: 6, stderr: /no price of "own" was set/ })
})

t.test('a region is how many times every rate, and only that', async t => {
  for (const geo of ['us', 'us=', '=1.1', 'us=-1', 'us=1.1x'])
    t.match(await gw([...own, '--geo', geo]), { code: 2, stderr: /--geo must be NAME=TIMES such as us=1\.1/ }, geo)
  t.match(await gw([...own, '--geo', 'us=11']), { code: 5, stderr: /own: geo\.us is 11\.00 times every rate/ })
  t.match((await gw(['price', 'show', 'claude-opus-5'])).stdout, /^ *geo us +× 1\.10$/m)
})

t.test('a price changes at its instant, for all layers', async t => {
  const cache = ['--cache-write-5m', '5', '--cache-write-1h', '8', '--cache-read', '0.4']
  const set = ['price', 'set', 'claude-opus-5', '--input', '4', '--output', '20', ...cache]
  const at = '2026-12-24T12:00:00Z'
  const warned = await gw([...set, '--from', at])
  t.match(warned, { code: 0, stderr: /modes\.fast is gone, which the price gw ships has/ })
  t.match(await json('price show claude-opus-5 --at 2026-12-24T11:59:59.999Z'), { layer: 'shipped', input: '5.00' })
  t.match(await json(['price', 'show', 'claude-opus-5', '--at', at]), {
    layer: 'operator',
    input: '4.00',
    vendor: 'anthropic',
    modes: {},
    source: 'gw price set',
  })
  t.match(await gw('price rm claude-opus-5 --yes'), { code: 0, stderr: /claude-opus-5 has the shipped price/ })
})

t.test('a prefix answers for what has no price of its own; the longest wins', async t => {
  await json(['price', 'set', 'my-*', '--input', '1', '--output', '2'])
  await json(['price', 'set', 'my-big-*', '--input', '10', '--output', '20'])
  t.match(await json('price show my-model'), { match: 'prefix', rule: 'the longest prefix, my-*', input: '1.00' })
  t.match(await json('price show vendor/my-big-one'), { model: 'my-big-*', rule: /, without the path vendor\/$/ })
  t.match(await gw('price show our-model'), { code: 6, stderr: /no price for model "our-model"/ })
  await json(['price', 'rm', 'my-*', '--yes'])
  await json(['price', 'rm', 'my-big-*', '--yes'])
})

t.test('the list can be narrowed', async t => {
  const models = async (line: string) => (await json<Json[]>(`price list ${line}`)).map(price => price['model'])
  t.ok((await models('')).length > 40)
  t.same(await models('--model opus-5-5'), ['claude-opus-5-5'])
  t.same(await models('--model gpt-5.6*'), ['gpt-5.6-luna', 'gpt-5.6-sol', 'gpt-5.6-terra'])
  t.same(await models('--vendor anthropic --model gpt'), [])
  t.ok((await models('--vendor google')).every(model => String(model).startsWith('gemini-')))
  t.match(
    (await gw('price list --model gpt-6-astra')).stdout,
    /^gpt-6-astra +openai +shipped .* priority, flex, ultrafast/m,
  )
  t.same(await models('--model gemini-3.8-flash'), ['gemini-3.8-flash'])
  t.same(await models('--model gemini-3.8-flash --all'), ['gemini-3.8-flash', 'gemini-3.8-flash'])
})

t.test('a damaged list is refused whole, row by row', async t => {
  type Row = Record<string, unknown> & { input: string; cache_read: string }
  const { prices } = JSON.parse(readFileSync(shipped, 'utf8')) as { prices: Row[] }
  const damages: ((row: Row) => object)[] = [
    row => ({ ...row, input: `${row.input.replace('.', '')}0` }),
    row => ({ ...row, input: row.cache_read, cache_read: row.input }),
    ({ output, ...row }) => row,
    row => ({ ...row, output: '0' }),
    row => ({ ...row, cache_read: `${row.input}000001` }),
    row => ({ ...row, output: 3e-6 }),
    row => ({ ...row, input: '-1' }),
    row => ({ ...row, tier: { input: row.input, output: row['output'] } }),
    row => ({ ...row, modes: { priority: { input: row.input } } }),
    row => ({ ...row, cache_write_5m: row.cache_read }),
  ]
  // Whose price is another's has no modes or writes that could be damaged.
  const rows = prices.filter(row => row['note'] === undefined).map((row, n) => damages[n % damages.length]!(row))
  const stdin = JSON.stringify({ format: 1, prices: rows })
  const ran = await gw('price import - --json', { stdin })
  t.match(ran, { code: 5, stderr: new RegExp(`^0 imported, ${rows.length} refused, 0 unchanged`, 'm') })
  t.ok((JSON.parse(ran.stdout) as Json[]).every(one => one['result'] === 'refused'))
  t.same(await stored(), [])
})

t.test('what lint calls an error is refused, unless it is accepted', async t => {
  const set = (...more: string[]) => ['price', 'set', 'claude-sonnet-4-5', ...more]
  const cases: [more: string[], says: RegExp][] = [
    [['--input', '30', '--output', '150'], /input jumps from the price gw ships: 3\.00 → 30\.00 \(×10\)/],
    [['--input', '0.3', '--output', '15'], /input jumps .*÷10/],
    [['--input', '3', '--output', '0'], /output is 0 while other rates are not/],
    [['--input', '3', '--output', '15'], /cache_read jumps .*billed as input/],
    [['--input', '3', '--output', '15', '--cache-read', '3.1'], /cache_read is above input/],
    [
      ['--input', '3', '--output', '15', '--cache-read', '0.3', '--cache-write-5m', '2'],
      /cache_write_5m is below input/,
    ],
    [['--input', '0.000003', '--output', '0.000015'], /meant per token/],
    [
      ['--input', '3', '--output', '15', '--cache-read', '0.3', '--tier-above', '200'],
      /tier\.above is 200; it counts tokens/,
    ],
    [
      ['--input', '3', '--output', '15', '--cache-read', '0.3', '--mode', 'fast=60,300'],
      /modes\.fast\.input is 10 times/,
    ],
  ]
  await each(cases, async ([more, says]) => {
    const ran = await gw(set(...more))
    t.match(ran, { code: 5, stdout: '', stderr: says }, more.join(' '))
    t.match(ran.stderr, /^gw: nothing changed; --accept sets it all the same$/m)
  })
  t.same(await stored(), [])
  await each(
    [
      [['--input', '3'], /required option '--output/],
      [['--input', '3.0000000001', '--output', '1'], /at most 9 decimals/],
      [['--input', '-3', '--output', '1'], /--input/],
      [['--input', '3', '--output', '1', '--tier-input', '3'], /need --tier-above/],
      [['--input', '3', '--output', '1', '--mode', 'fast'], /--mode must be NAME=INPUT,OUTPUT/],
      [['--input', '3', '--output', '1', '--from', '30d'], /--from must be a date/],
    ] as [string[], RegExp][],
    async ([more, says]) => {
      t.match(await gw(set(...more)), { code: 2, stdout: '', stderr: says }, more.join(' '))
    },
  )
  t.match(await json(set('--input', '30', '--output', '150', '--accept', '--dry-run')), { input: '30.00' })
  t.match(await json(set('--input', '30', '--output', '150', '--accept')), { input: '30.00' })
  matchAll(t, await json('price lint'), [], 'what was accepted is no error any more')
  const verbose = await json<Json[]>('price lint --verbose')
  t.ok(verbose.some(({ field, level, text }) => field === 'input' && level === 'info' && /accepted/.test(String(text))))
  await json('price rm claude-sonnet-4-5 --yes')
})

t.test('lint finds what somebody wrote by hand, and reads files without a database', async t => {
  t.same(await gw('price lint'), {
    code: 0,
    stdout: '',
    stderr: 'nothing to complain of\n62 prices, 0 errors, 0 warnings\n',
  })
  const usd = 1_000_000_000n
  const none = { cache_write_5m: null, cache_write_1h: null, cache_read: null, tier: null }
  const date = new Date('2026-06-01')
  await db
    .insertInto('prices')
    .values([
      { ...none, model: 'hand', effective_from: date, input: usd, output: usd, cache_read: 2n * usd },
      { ...none, model: 'twice', effective_from: date, input: usd, output: usd },
      { ...none, model: 'TWICE', effective_from: date, input: usd, output: usd },
      { ...none, model: 'odd', input: usd, output: usd, tier: '{"input":"x"}', extra: '{"modes":[],"web_serch":"1"}' },
    ])
    .execute()
  const ran = await gw('price lint --json')
  t.equal(ran.code, 1)
  const found = (JSON.parse(ran.stdout) as Json[]).map(({ model, field, level }) => `${model} ${field} ${level}`)
  t.same(found.sort(), [
    'hand cache_read error',
    'odd modes error',
    'odd tier.above error',
    'odd tier.input error',
    'odd tier.output error',
    'odd web_serch warning',
    'twice model error',
  ])
  t.match(ran.stderr, /^66 prices, 6 errors, 1 warnings$/m)
  t.match(await json('price show odd'), { input: '1.00', tier: null }, 'and what can be read of it is billed')
  await db.deleteFrom('prices').execute()

  const offline = { env: { GW_DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' } }
  t.match(await gw(['price', 'lint', shipped], offline), { code: 0, stdout: '' })
  const damaged = readFileSync(shipped, 'utf8').replace(/("gpt-5\.4".*?"input":"2)\./, '$1')
  const file = await here.file('damaged.json', damaged)
  t.match(await gw(['price', 'lint', file], offline), { code: 1, stdout: /^error +gpt-5\.4 +input +jumps/m })
  t.match(await gw(['price', 'lint', '-', '--json'], { ...offline, stdin: damaged }), { code: 1, stdout: /"gpt-5\.4"/ })
  t.match(await gw(['price', 'lint', litellm], offline), { code: 1, stdout: /gpt-lost-output +output +is missing/ })
  t.match(await gw('price lint nowhere.json'), { code: 2, stderr: /nowhere\.json cannot be read/ })
})

t.test('a LiteLLM map is compared, and imported but for what is wrong in it', async t => {
  const diff = await gw(['price', 'diff', litellm, '--json'])
  t.equal(diff.code, 0)
  const changes = JSON.parse(diff.stdout) as Json[]
  t.same(
    changes.map(({ model, change, factor }) => [model, change, factor]),
    [
      ['claude-sonnet-5', 'dearer', 3],
      ['gpt-5.4', 'cheaper', 0.5],
      ['gpt-5-mini', 'dearer', 10],
      ['gpt-5.2', 'dearer', 10],
      ['gpt-lost-output', null, null],
      ['text-embedding-4', 'new', null],
      ['dusty-model', 'new', null],
      ['gemini-1.5-steps', 'new', null],
    ],
  )
  t.match((changes[0]!['changes'] as object[])[0], { field: 'input', before: '2.00', after: '3.00' })
  matchAll(t, changes[0]!['findings'], [{ field: 'modes.batch', level: 'warning' }])
  t.match(
    diff.stderr,
    /^8 differ, 4 unchanged, 1 of other providers \(--only takes them\), 2 not billed by text tokens/m,
  )
  t.match((await gw(['price', 'diff', litellm])).stdout, /^gpt-5\.2 +\S+ +dearer +10 +input +17\.50 +140\.00 +error$/m)
  t.same(await stored(), [])

  const dry = await gw(['price', 'import', litellm, '--json', '--dry-run'])
  t.equal(dry.code, 8)
  t.same(await stored(), [])
  const ran = await gw(['price', 'import', litellm, '--json', '--from', '2026-11-01'])
  t.equal(ran.code, 8, 'done in part')
  const of = (result: string) =>
    (JSON.parse(ran.stdout) as Json[]).filter(one => one['result'] === result).map(one => one['model'])
  t.same(of('refused'), ['gpt-5-mini', 'gpt-5.2', 'gpt-lost-output'])
  t.match(ran.stderr, /^refused gpt-5\.2: input jumps from the price gw ships: 1\.75 → 17\.50 \(×10\)/m)
  t.match(ran.stderr, /^5 imported, 3 refused, 4 unchanged, .*--accept/m)
  t.same(
    (await stored()).map(row => row.model),
    ['claude-sonnet-5', 'dusty-model', 'gemini-1.5-steps', 'gpt-5.4', 'text-embedding-4'],
  )
  t.match(await json('price show claude-sonnet-5'), {
    layer: 'operator',
    vendor: 'anthropic',
    source: 'litellm',
    from: '2026-11-01T00:00:00.000Z',
    input: '3.00',
    cache_write_1h: '6.00',
    tier: { above: 200_000, cache_write_1h: '12.00' },
    web_search: '0.01',
  })
  t.match(await json('price show gpt-5.4'), {
    modes: { batch: { input: '1.25', output: '7.50', cache_read: '0.125' } },
  })

  const again = await gw(['price', 'import', litellm, '--json', '--only', 'claude-*,gpt-5.4'])
  t.match(
    again,
    { code: 0, stdout: '[]\n', stderr: /^0 imported, 0 refused, 4 unchanged/m },
    'a second time nothing differs',
  )
  t.match(await gw(['price', 'import', litellm, '--only', 'gpt-5.2']), { code: 5, stderr: /0 imported, 1 refused/ })
  t.match(await gw(['price', 'import', litellm, '--only', 'gpt-lost*', '--accept']), { code: 5 }, 'no price at all')
  matchAll(t, await json(['price', 'import', litellm, '--only', 'gpt-5.2', '--accept']), [{ result: 'imported' }])
  t.match(await json('price show gpt-5.2'), { input: '17.50' })
  t.match(await gw('price lint'), { code: 0 })

  const mine = { format: 1, prices: [{ model: 'mine', input: '1', output: '2', from: '2027-01-01' }] }
  const stdin = JSON.stringify(mine)
  matchAll(t, await json('price import -', { stdin }), [
    { model: 'mine', change: 'new', from: '2027-01-01T00:00:00.000Z' },
  ])
  t.match(await gw('price show mine'), { code: 6 }, 'not yet')
  t.match(await gw('price import -', { stdin: '{}' }), { code: 2, stderr: /^gw: - is no price file/ })
})

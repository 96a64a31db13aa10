// Import: LiteLLM's map with its traps, to the nano-dollar, and what would change.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { readShipped } from '../../src/core/price/file.ts'
import { inspect, matcher, plan, readPrices } from '../../src/core/price/import.ts'
import { decimal } from '../../src/core/price/read.ts'
import type { PriceRow, Written } from '../../src/core/price/row.ts'
import { matchAll } from '../helpers/match.ts'

const text = readFileSync(new URL('../fixtures/litellm.json', import.meta.url), 'utf8')
const now = Date.UTC(2026, 11, 1)
const shipped = readShipped()
const read = (only?: string[]) => readPrices(text, { file: 'litellm.json', now, only })

/** Rates in nano-USD per million tokens, as a row of numbers. */
const flat = (written: Written | null | undefined) =>
  written && [written.input, written.output, written.cacheWrite5m, written.cacheWrite1h, written.cacheRead]
const modes = (row: PriceRow) => Object.fromEntries([...row.modes].map(([mode, rates]) => [mode, flat(rates)]))

t.test('a decimal is read to the nano-dollar, as text and as a JSON number', async t => {
  const cases: [written: string, shift: number, nano: bigint, exact?: boolean][] = [
    ['3e-06', 6, 3_000_000_000n],
    ['3E-6', 6, 3_000_000_000n],
    ['0.000003', 6, 3_000_000_000n],
    ['1.5e-05', 6, 15_000_000_000n],
    ['3.75e-06', 6, 3_750_000_000n],
    ['1.25e-07', 6, 125_000_000n],
    ['2.5e-09', 6, 2_500_000n],
    ['1e-15', 6, 1n],
    ['1', 0, 1_000_000_000n],
    ['12.5', 0, 12_500_000_000n],
    ['0', 6, 0n],
    ['1.0416666666667e-06', 6, 1_041_666_667n, false],
    ['0.1', 0, 100_000_000n],
    ['0.3', 0, 300_000_000n],
    ['1.1', 0, 1_100_000_000n],
    ['999999999', 0, 999_999_999_000_000_000n],
  ]
  for (const [written, shift, nano, exact = true] of cases) {
    t.same(decimal(written, shift), { nano, exact }, written)
    t.same(decimal(JSON.parse(written), shift), { nano, exact }, `${written} as a number`)
    if (nano > 0n) t.same(decimal(`-${written}`, shift), { nano: -nano, exact }, `-${written}`)
  }
  t.same(decimal(JSON.parse('2.0000000000000002e-07'), 6), { nano: 200_000_000n, exact: true }, 'dust of floats')
  t.same(decimal('2.0000000000000002e-07', 6), { nano: 200_000_000n, exact: false }, 'but text is taken at its word')
  for (const bad of [
    '',
    'x',
    '1,5',
    '.5',
    '0x1',
    '1e',
    'NaN',
    '1e999',
    '1000000000',
    '$3',
    null,
    undefined,
    true,
    {},
    Number.NaN,
    1e300,
  ])
    t.equal(decimal(bad), undefined, `${bad}`)
  // Every price that can be written with four decimals, per token and per million, by both ways.
  for (let i = 0; i < 5000; i++) {
    const n = Math.floor(Math.random() * 10_000_000)
    const whole = `${n}e-10`
    const want = BigInt(n) * 100_000n
    if (decimal(whole, 6)?.nano !== want || decimal(Number(whole), 6)?.nano !== want) t.fail(whole)
  }
})

t.test('rows of LiteLLM are read as they are meant', async t => {
  const file = read()
  const rows = new Map(file.rows.map(row => [row.model, row]))
  t.same(
    [...rows.keys()],
    [
      'claude-opus-5',
      'claude-sonnet-5',
      'claude-haiku-4-5-20251001',
      'gpt-5.4',
      'gpt-5-nano',
      'gpt-5-mini',
      'gpt-5.2',
      'gpt-lost-output',
      'text-embedding-4',
      'dusty-model',
      'gemini-2.5-pro',
      'gemini-1.5-steps',
    ],
  )
  t.same(Object.fromEntries(file.skipped), {
    'of other providers (--only takes them)': 1,
    'not billed by text tokens': 2,
    'without a price per token': 1,
  })
  const row = (model: string) => rows.get(model)!
  const G = 1_000_000_000n
  const opus = row('claude-opus-5')
  t.same(flat(opus.rates), [5n * G, 25n * G, 6_250_000_000n, 10n * G, 500_000_000n])
  t.same(modes(opus), { fast: [10n * G, 50n * G, 12_500_000_000n, 20n * G, G] }, 'fast multiplies; us is no mode')
  t.strictSame([...opus.geo], [['us', 1_100_000_000n]], 'but a region')
  t.equal(opus.webSearch, 10_000_000n)
  t.match(opus, { vendor: 'anthropic', source: 'litellm', layer: 'operator', from: now })

  const sonnet = row('claude-sonnet-5')
  t.same(flat(sonnet.rates), [3n * G, 15n * G, 3_750_000_000n, 6n * G, 300_000_000n], 'numbers may be text')
  t.equal(sonnet.tier?.above, 200_000)
  t.same(flat(sonnet.tier), [6n * G, 22_500_000_000n, 7_500_000_000n, 12n * G, 600_000_000n])

  const gpt = row('gpt-5.4')
  t.same(flat(gpt.rates), [2_500_000_000n, 15n * G, null, null, 250_000_000n])
  t.same([gpt.tier?.above, ...flat(gpt.tier)!], [272_000, 5n * G, 22_500_000_000n, null, null, 500_000_000n])
  t.same(modes(gpt), {
    priority: [5n * G, 30n * G, null, null, 500_000_000n],
    flex: [1_250_000_000n, 7_500_000_000n, null, null, 130_000_000n],
    batch: [1_250_000_000n, 7_500_000_000n, null, null, null],
  })
  t.equal(gpt.webSearch, null, 'a cost that depends on what no usage tells is not known')

  t.same(modes(row('gpt-5-nano')), { flex: [25_000_000n, 200_000_000n, null, null, 2_500_000n] })
  matchAll(
    t,
    file.findings.filter(finding => finding.model === 'gpt-5-nano'),
    [{ field: 'modes.priority', level: 'info', text: /left out/ }],
  )
  t.same(flat(row('text-embedding-4').rates), [20_000_000n, 0n, null, null, null])
  t.ok(row('text-embedding-4').embedding)
  t.same(flat(row('gpt-lost-output').rates), [G, null, null, null, null])
  t.same(flat(row('dusty-model').rates), [200_000_000n, 800_000_000n, null, null, null])

  const gemini = row('gemini-2.5-pro')
  t.same(flat(gemini.rates), [1_250_000_000n, 10n * G, null, null, 125_000_000n], 'AI Studio, not Vertex')
  t.same(flat(gemini.tier), [2_500_000_000n, 15n * G, null, null, 250_000_000n], 'no cache writes without a base')
  t.equal(gemini.vendor, 'google')
  t.equal(row('gemini-1.5-steps').tier?.above, 128_000)
  matchAll(
    t,
    file.findings.filter(finding => finding.model === 'gemini-1.5-steps'),
    [{ field: 'tier', level: 'warning', text: /above 200k/ }],
  )
})

t.test('only what was asked for is read', async t => {
  const models = (only: string[]) => read(only).rows.map(row => row.model)
  t.same(models(['azure/*']), ['azure/gpt-5'])
  t.same(models(['GPT-5.*', 'text-*']), ['gpt-5.4', 'gpt-5.2', 'text-embedding-4'])
  t.same(models(['gemini/*']), ['gemini-2.5-pro'])
  t.same(models(['nothing']), [])
  const matches = matcher(['a.b*c', '*x*'])
  t.same(['a.bc', 'A.B--C', 'azbc', 'a.bcd', 'x', 'axb'].map(matches), [true, true, false, false, true, true])
})

t.test('a plan says what would change, and how much', async t => {
  const { planned, unchanged } = plan(read(), shipped)
  t.equal(unchanged, 4, 'a dated release of a model that costs as much as the model is no change')
  const errors = (model: string) =>
    planned
      .find(one => one.row.model === model)!
      .findings.filter(f => f.level === 'error')
      .map(f => f.field)
  t.same(
    planned.map(({ row, change, most }) => [row.model, change, most?.field]),
    [
      ['claude-sonnet-5', 'dearer', 'tier.input'],
      ['gpt-5.4', 'cheaper', 'modes.batch.input'],
      ['gpt-5-mini', 'dearer', 'cache_read'],
      ['gpt-5.2', 'dearer', 'input'],
      ['gpt-lost-output', null, undefined],
      ['text-embedding-4', 'new', undefined],
      ['dusty-model', 'new', undefined],
      ['gemini-1.5-steps', 'new', undefined],
    ],
  )
  t.same(errors('claude-sonnet-5'), [])
  t.same(errors('gpt-5-mini'), ['cache_read'], 'a lost cache price is seen')
  t.same(errors('gpt-5.2'), ['input', 'output', 'cache_read'], 'so is a price ten times too high')
  t.same(errors('gpt-lost-output'), ['output'])
  const mini = planned.find(one => one.row.model === 'gpt-5-mini')!.row
  t.same([...mini.modes.keys()], ['priority', 'flex'], 'what LiteLLM does not name is kept')
  t.equal(planned[0]?.row.webSearch, 10_000_000n)
})

t.test('gw’s own format is read as it is shipped', async t => {
  const own = readFileSync(new URL('../../config/prices.json', import.meta.url), 'utf8')
  const file = readPrices(own, { file: 'prices.json', now })
  t.same(plan(file, shipped), { planned: [], unchanged: shipped.length })
  t.same(
    inspect(file, shipped).findings.filter(finding => finding.level === 'error'),
    [],
  )
  const [one, two] = [
    { model: 'Own', input: '1', output: '2', from: '2027-01-01' },
    { model: 'two', input: 1.1, output: 2 },
  ]
  const rows = readPrices(JSON.stringify({ format: 1, prices: [one, two] }), { file: 'f', now }).rows
  matchAll(t, rows, [
    { model: 'own', from: Date.UTC(2027, 0, 1) },
    { model: 'two', from: now, rates: { input: 1_100_000_000n } },
  ])
  const from = Date.UTC(2028, 0, 1)
  const later = readPrices(JSON.stringify({ format: 1, prices: [one, two, 7] }), { file: 'f', now, from })
  matchAll(t, later.rows, [{ from }, { from }])
  matchAll(t, later.findings, [{ level: 'error', field: 'prices[2]' }])
})

t.test('a file that is neither is refused', async t => {
  for (const [bad, says] of [
    ['{', /f is not JSON/],
    ['[]', /f is no price file/],
    ['{}', /f is no price file/],
    ['{"format": 2, "prices": []}', /f is no price file/],
    ['{"a": {"b": 1}}', /f is no price file/],
  ] as const)
    t.throws(() => readPrices(bad, { file: 'f', now }), { kind: 'usage', message: says }, bad)
})

t.test('one column of writes is of the lifetime that the vendor has', t => {
  const map = (litellm_provider: string) => ({
    ...{ litellm_provider, input_cost_per_token: 1e-6, output_cost_per_token: 5e-6 },
    ...{ cache_creation_input_token_cost: 1.25e-6, cache_creation_input_token_cost_above_1hr: 2e-6 },
    ...{ input_cost_per_token_above_200k_tokens: 2e-6, output_cost_per_token_above_200k_tokens: 7e-6 },
    ...{ cache_creation_input_token_cost_above_200k_tokens: 2.5e-6 },
  })
  const file = JSON.stringify({ 'gpt-own': map('openai'), 'claude-own': map('anthropic'), 'other-own': map('x') })
  const writes = (of: Written | null) =>
    of && [of.cacheWrite5m, of.cacheWrite30m, of.cacheWrite1h, of.cacheWrite12h].map(rate => rate && Number(rate) / 1e9)
  t.strictSame(
    readPrices(file, { file: 'f', now }).rows.map(({ model, rates, tier }) => [model, writes(rates), writes(tier)]),
    [
      ['gpt-own', [null, 1.25, null, null], [null, 2.5, null, null]],
      ['claude-own', [1.25, null, 2, null], [2.5, null, null, null]],
      ['other-own', [1.25, null, 2, null], [2.5, null, null, null]],
    ],
  )
  t.end()
})

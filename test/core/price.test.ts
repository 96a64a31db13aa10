// Prices: which one answers for a name and when, and what usage costs at it, against an oracle of fractions.
import t from 'tap'
import { cost, priceTable, type Request, shippedPrices, worstCase } from '../../src/core/price/price.ts'
import { compile, type Price, type PriceRow, type Rates, type Written } from '../../src/core/price/row.ts'
import { noTokens, noUsage, type Part, promptBuckets, type Usage } from '../../src/dialect/usage.ts'

const random = (below: number) => Math.floor(Math.random() * below)

const rates = (n: number): Rates => ({
  input: BigInt(n),
  output: BigInt(n) * 10n,
  cacheWrite5m: BigInt(n) * 100n,
  cacheWrite30m: BigInt(n) * 300n,
  cacheWrite1h: BigInt(n) * 1000n,
  cacheWrite12h: BigInt(n) * 3000n,
  cacheRead: BigInt(n) * 10_000n,
})
const price = (model: string, n: number, more: Partial<Price> = {}): Price => ({
  model,
  vendor: null,
  layer: 'shipped',
  from: 0,
  ...rates(n),
  tier: null,
  modes: new Map(),
  geo: new Map(),
  webSearch: null,
  source: null,
  ...more,
})
const used = (usage: Partial<Usage>): Usage => ({ ...noUsage(), ...usage })

t.test(
  'a price is found by the name, a dated release, the longest prefix, and nothing that only looks alike',
  async t => {
    const table = priceTable([
      price('gpt-5', 1),
      price('claude-x', 2),
      price('claude-x-20250101', 3),
      price('dear', 4, { from: 1000 }),
      price('dear', 5, { from: 2000 }),
      price('dear', 6, { from: 1500, layer: 'operator' }),
      price('dear', 7, { from: 500 }),
      price('own', 8, { layer: 'operator', from: 900 }),
      price('my-*', 9, { layer: 'operator' }),
      price('my-big-*', 10, { layer: 'operator', from: 100 }),
      price('my-big-*', 11, { layer: 'operator', from: 200 }),
      price('my-big-one', 12, { layer: 'operator' }),
      price('claude-x*', 13, { layer: 'operator' }),
      price('router/gpt-5', 14, { layer: 'operator' }),
      price('router/*', 15, { layer: 'operator' }),
    ])
    const cases: [name: string, at: number, rate: bigint | undefined, match?: string][] = [
      ['gpt-5', 0, 1n, 'exact'],
      ['GPT-5', 0, 1n, 'exact'],
      ['models/gpt-5', 0, 1n, 'exact'],
      ['publishers/google/models/gpt-5', 0, 1n, 'exact'],
      ['projects/p/locations/l/publishers/google/models/gpt-5', 0, 1n, 'exact'],
      ['openai/gpt-5', 0, 1n, 'exact'],
      ['openai/gpt-5-latest', 0, 1n, 'release'],
      ['router/gpt-5', 0, 14n, 'exact'],
      ['router/gpt-5-2025-10-01', 0, 14n, 'release'],
      ['router/gpt-6', 0, 15n, 'prefix'],
      ['gpt-5/', 0, undefined],
      ['gpt-5-20251001', 0, 1n, 'release'],
      ['gpt-5@20251001', 0, 1n, 'release'],
      ['gpt-5-2025-10-01', 0, 1n, 'release'],
      ['gpt-5-latest', 0, 1n, 'release'],
      ['gpt-5-mini', 0, undefined],
      ['gpt-5-latest-mini', 0, undefined],
      ['gpt-50', 0, undefined],
      ['gpt', 0, undefined],
      ['gpt-5-2025', 0, undefined],
      ['gpt-5-20251001-v2', 0, undefined],
      ['our-gpt-5', 0, undefined],
      ['', 0, undefined],
      ['/', 0, undefined],
      ['*', 0, undefined],
      ['__proto__', 0, undefined],
      ['claude-x-20250101', 0, 3n, 'exact'],
      ['claude-x-20250102', 0, 2n, 'release'],
      ['claude-x-mini', 0, 13n, 'prefix'],
      ['dear', 499, undefined],
      ['dear', 500, 7n, 'exact'],
      ['dear', 999, 7n, 'exact'],
      ['dear', 1000, 4n, 'exact'],
      ['dear', 1499, 4n, 'exact'],
      ['dear', 1500, 6n, 'exact'],
      ['dear', 9999, 6n, 'exact'],
      ['own', 899, undefined],
      ['own-latest', 900, 8n, 'release'],
      ['my-', 0, 9n, 'prefix'],
      ['my', 0, undefined],
      ['My-Model', 0, 9n, 'prefix'],
      ['vendor/my-model', 0, 9n, 'prefix'],
      ['my-big-two', 99, 9n, 'prefix'],
      ['my-big-two', 100, 10n, 'prefix'],
      ['my-big-two', 200, 11n, 'prefix'],
      ['my-big-one', 200, 12n, 'exact'],
      ['my-*', 0, 9n, 'prefix'],
    ]
    for (const [name, at, rate, match] of cases) {
      const found = table.find(name, at)
      t.same([found?.price.input, found?.match], [rate, match], `"${name}" at ${at}`)
    }
    t.same(
      table
        .all()
        .filter(p => !/[*/]|my-/.test(p.model))
        .map(p => p.input),
      [2n, 3n, 5n, 6n, 4n, 7n, 1n, 8n],
      'all are listed, by name, the latest first',
    )
    t.equal(
      priceTable([price('*', 1)]).find('anything', 0)?.match,
      'prefix',
      'a star alone answers for all that is unknown',
    )
  },
)

/** Half up, by its definition, of a sum of fractions: the whole number nearest to n/d, the upper of two. */
function nearest(n: bigint, d: bigint): bigint {
  const doubled = 2n * n + d
  return doubled / (2n * d)
}

t.test('a cost is exact to half a nano-dollar, and every bucket has its own rate', async t => {
  const million = 1_000_000
  for (const [bucket, rate] of Object.entries(rates(3)))
    t.equal(cost(used({ [bucket]: million }), price('m', 3)), rate, `a million of ${bucket}`)
  t.equal(cost(noUsage(), price('m', 3)), 0n)
  t.equal(cost(used({ input: 499_999 }), price('m', 1)), 0n)
  t.equal(cost(used({ input: 500_000 }), price('m', 1)), 1n)
  t.equal(cost(used({ input: 250_000, output: 25_000 }), price('m', 1)), 1n, 'rounded once, not once a bucket')
  t.equal(cost(used({ webSearches: 3 }), price('m', 1, { webSearch: 10_000_000n })), 30_000_000n)
  t.equal(cost(used({ webSearches: 3 }), price('m', 1)), 0n, 'what nobody knows is not billed')
})

t.test('tiers, modes and searches cost what an oracle of whole fractions says, however many tokens', async t => {
  const columns = [
    ...(['input', 'output', 'cacheRead'] as const),
    ...(['cacheWrite5m', 'cacheWrite30m', 'cacheWrite1h', 'cacheWrite12h'] as const),
  ]
  const some = (): Rates =>
    Object.fromEntries(columns.map(bucket => [bucket, BigInt(random(1e11))])) as unknown as Rates
  const modes = ['', 'priority', 'flex', 'unknown', '__proto__']
  const regions = ['', 'us', 'unknown']
  const seen = new Map<string, number>()
  for (let i = 0; i < 5000; i++) {
    // Now and then as many as a double counts exactly.
    const many = (below: number) => (random(10) === 0 ? Number.MAX_SAFE_INTEGER - random(1000) : random(below))
    const usage: Usage = {
      ...(Object.fromEntries(columns.map(bucket => [bucket, many(1e6)])) as unknown as Usage),
      webSearches: many(20),
      mode: modes[random(modes.length)]!,
      geo: regions[random(regions.length)]!,
    }
    const [base, above] = [some(), random(3e6)]
    const tier = i % 2 ? { above, ...some() } : null
    const special = new Map([
      ['priority', some()],
      ['flex', some()],
    ])
    const webSearch = i % 3 ? BigInt(random(1e8)) : null
    const times = BigInt(random(3e9))
    const geo = new Map([['us', times]])
    const got = cost(usage, price('m', 0, { ...base, tier, modes: special, geo, webSearch }))

    const prompt = columns.reduce((sum, bucket) => sum + BigInt(bucket === 'output' ? 0 : usage[bucket]), 0n)
    const dear = tier !== null && prompt > BigInt(above) ? tier : undefined
    const mode = special.get(usage.mode)
    seen.set(`${dear ? 'tier' : ''} ${mode ? 'mode' : ''}`, i)
    const sum = columns.reduce((total, bucket) => {
      const rates = [dear, mode].flatMap(of => of?.[bucket] ?? [])
      const rate = rates.length > 0 ? rates.sort((a, b) => (a < b ? 1 : -1))[0]! : base[bucket]
      return total + BigInt(usage[bucket]) * rate
    }, 0n)
    const exact =
      nearest(sum * (usage.geo === 'us' ? times : 10n ** 9n), 10n ** 15n) +
      BigInt(usage.webSearches) * (webSearch ?? 0n)
    if (got !== exact) t.fail(`${JSON.stringify(usage)} costs ${got}, not ${exact}`)
  }
  t.equal(seen.size, 4, 'with and without tier, with and without mode')
})

t.test('calls of one answer cost what each costs at its own price, rounded together', async t => {
  const part = (more: Partial<Part>): Part => ({ ...noTokens(), model: '', counted: true, ...more })
  const mine = price('m', 1, { tier: { above: 100, ...rates(1000) } })
  const others = new Map([['big', price('big', 7)]])
  const of = (parts: Part[], more: Partial<Usage> = {}) =>
    cost(used({ parts, ...more }), mine, name => others.get(name))
  t.equal(of([part({ input: 250_000 }), part({ input: 250_000 })]), 500n, 'a tier is crossed by each by itself')
  t.equal(of([part({ output: 30_000 }), part({ output: 19_999 })]), 0n, 'half a nano-USD less is none')
  t.equal(of([part({ output: 30_000 }), part({ output: 20_000 })]), 1n, 'two parts of one are one')
  t.equal(of([part({ model: 'big', output: 1_000_000 }), part({ output: 1_000_000 })]), 80n)
  t.equal(of([part({ model: 'nobody', output: 1_000_000 })]), 0n, 'what costs nothing')
  t.equal(of([part({ output: 1 })], { webSearches: 2 }), 0n)
})

t.test('a prompt above the tier reprices the whole request; one exactly at it does not', async t => {
  const tiered = price('m', 1, { tier: { above: 100, ...rates(1_000_000) } })
  const prompt = { input: 40, cacheRead: 30, cacheWrite5m: 10, cacheWrite30m: 10, cacheWrite1h: 5, cacheWrite12h: 5 }
  const at = cost(used({ ...prompt, output: 1_000_000 }), tiered)
  t.equal(at, cost(used({ ...prompt, output: 1_000_000 }), price('m', 1)), 'exactly at it, and output is no prompt')
  for (const bucket of promptBuckets) {
    const usage = used({ ...prompt, output: 7, [bucket]: prompt[bucket] + 1 })
    t.equal(cost(usage, tiered), cost(usage, price('m', 1_000_000)), `one more of ${bucket}`)
  }
})

t.test('a mode has its own rates; above the tier each bucket costs the dearer of the two', async t => {
  const million = (bucket: keyof Rates, mode: string) => used({ [bucket]: 1_000_000, mode })
  const modes = new Map([
    ['priority', rates(2)],
    ['flex', { ...rates(1), output: 5n }],
  ])
  const plain = price('m', 1, { modes })
  t.equal(cost(million('input', 'priority'), plain), 2n)
  t.equal(cost(million('output', 'flex'), plain), 5n)
  t.equal(cost(million('output', 'ultrafast'), plain), 10n, 'a mode the price does not know is the standard one')
  const tiered = price('m', 1, { modes, tier: { above: 10, ...rates(1), input: 3n } })
  t.equal(cost(million('input', 'priority'), tiered), 3n, 'the tier is dearer')
  t.equal(cost(million('cacheRead', 'priority'), tiered), 20_000n, 'the mode is dearer')
  t.equal(cost({ ...million('output', 'flex'), input: 11 }, tiered), 10n, 'a cheap mode does not lower the tier')
  t.equal(cost({ ...million('output', 'flex'), input: 10 }, tiered), 5n)
})

t.test('no request costs more than its worst case, and some cost just that', async t => {
  const all = shippedPrices()
  const allowed = { none: 2, '5m': 3, '30m': 4, '1h': 5, '12h': 6 }
  let reached = 0
  for (let i = 0; i < 20_000; i++) {
    const p = all[random(all.length)]!
    const [inputTokens, outputTokens, webSearches] = [random(600_000), random(100_000), random(5)]
    const modes = [...p.modes.keys()]
    const mode = i % 2 ? modes[random(modes.length)] : undefined
    const cacheWrites = (['none', '5m', '30m', '1h', '12h'] as const)[i % 5]!
    const bound = worstCase(p, { inputTokens, outputTokens, mode, cacheWrites, webSearches })
    // All of it in one bucket, or spread over those that may be used.
    const open = promptBuckets.slice(0, allowed[cacheWrites])
    const prompt = noUsage()
    if (random(2)) prompt[open[random(open.length)]!] = inputTokens
    else for (const bucket of open) prompt[bucket] = random(Math.floor(inputTokens / open.length) + 1)
    // What was asked for in a mode may be served in the standard one.
    const served = random(2) ? (mode ?? '') : ''
    const usage = { ...prompt, output: outputTokens, webSearches, mode: served }
    const is = cost(usage, p)
    if (is > bound) t.fail(`${p.model} ${JSON.stringify(usage)} costs ${is}, more than ${bound}`)
    if (is === bound) reached++
  }
  t.ok(reached > 100, `${reached} cost as much`)

  const cases: [Partial<Request>, bigint][] = [
    [{}, 5n + 30n],
    [{ mode: 'flex' }, 5n + 30n],
    [{ mode: 'fast' }, 10n + 60n],
    [{ inputTokens: 2_000_000 }, 20n + 45n],
    [{ inputTokens: 2_000_000, mode: 'fast' }, 20n + 60n],
    [{ cacheWrites: '5m' }, 6n + 30n],
    [{ cacheWrites: '30m' }, 7n + 30n],
    [{ cacheWrites: '1h' }, 9n + 30n],
    [{ cacheWrites: '12h' }, 12n + 30n],
    [{ cacheWrites: '12h', inputTokens: 2_000_000 }, 50n + 45n],
    [{ webSearches: 3 }, 5n + 30n + 21n],
    [{ geo: 'us' }, 10n + 60n],
    [{ geo: 'us', mode: 'fast', webSearches: 3 }, 20n + 120n + 21n],
    [{ geo: 'eu' }, 5n + 30n],
    [{ geo: 'nowhere' }, 5n + 30n],
    [{ inputTokens: 0, outputTokens: 0 }, 0n],
  ]
  const writes = (...[a, b, c, d]: bigint[]) => ({
    ...{ cacheWrite5m: a!, cacheWrite30m: b!, cacheWrite1h: c!, cacheWrite12h: d! },
  })
  const of = { input: 5n, output: 30n, ...writes(6n, 7n, 9n, 12n), cacheRead: 1n }
  const long = { above: 1_000_000, input: 10n, output: 45n, ...writes(12n, 14n, 18n, 25n), cacheRead: 2n }
  const modes = new Map([
    ['fast', { input: 10n, output: 60n, ...writes(12n, 14n, 18n, 25n), cacheRead: 2n }],
    ['flex', { input: 2n, output: 15n, ...writes(3n, 3n, 4n, 5n), cacheRead: 1n }],
  ])
  const geo = new Map([
    ['us', 2_000_000_000n],
    ['eu', 500_000_000n],
  ])
  const p = price('m', 0, { ...of, tier: long, modes, geo, webSearch: 7n })
  for (const [more, nano] of cases) {
    const request: Request = { inputTokens: 1_000_000, outputTokens: 1_000_000, cacheWrites: 'none', ...more }
    t.equal(worstCase(p, request), nano, JSON.stringify(more))
  }
})

t.test('a lifetime without a rate costs as the next longer one that has one, then as the next shorter one', async t => {
  const names = ['cacheWrite5m', 'cacheWrite30m', 'cacheWrite1h', 'cacheWrite12h'] as const
  const written = (writes: (bigint | null)[], more: Partial<Written> = {}): Written => ({
    ...{ input: 10n, output: 50n, cacheRead: null, ...more },
    ...(Object.fromEntries(names.map((name, i) => [name, writes[i] ?? null])) as Pick<Written, (typeof names)[number]>),
  })
  const row = (rates: Written, mode?: Written): PriceRow => ({
    ...{ model: 'm', vendor: null, layer: 'operator', from: 0, rates, tier: null, geo: new Map(), webSearch: null },
    ...{ modes: new Map(mode ? [['fast', mode]] : []), source: null, embedding: false, accepted: false },
  })
  const writes = (of: Rates | undefined) => names.map(name => of?.[name])
  const _ = null
  const cases: [(bigint | null)[], bigint[]][] = [
    [
      [_, _, _, _],
      [10n, 10n, 10n, 10n],
    ],
    [
      [12n, _, 20n, _],
      [12n, 20n, 20n, 20n],
    ],
    [
      [_, 12n, _, _],
      [12n, 12n, 12n, 12n],
    ],
    [
      [_, 12n, _, 30n],
      [12n, 12n, 30n, 30n],
    ],
    [
      [_, _, 20n, _],
      [20n, 20n, 20n, 20n],
    ],
    [
      [12n, _, _, _],
      [12n, 12n, 12n, 12n],
    ],
    [
      [12n, 13n, 14n, 15n],
      [12n, 13n, 14n, 15n],
    ],
  ]
  for (const [given, billed] of cases) t.strictSame(writes(compile(row(written(given)))), billed, `${given}`)

  const fast = (base: (bigint | null)[], mode: (bigint | null)[]) =>
    writes(compile(row(written(base), written(mode, { input: 20n })))?.modes.get('fast'))
  t.strictSame(fast([12n, _, 20n, _], []), [24n, 40n, 40n, 40n], 'in proportion, and then the same')
  t.strictSame(fast([12n, _, 20n, _], [25n]), [25n, 40n, 40n, 40n])
  t.strictSame(fast([12n, _, _, _], [25n]), [25n, 25n, 25n, 25n], 'what neither names follows the mode')
  t.strictSame(fast([_, 12n, _, _], [_, 25n]), [25n, 25n, 25n, 25n])
  t.strictSame(fast([], []), [20n, 20n, 20n, 20n])

  const openai = shippedPrices().find(({ model }) => model === 'gpt-6-sol')!
  const usage = used({ input: 7, cacheWrite30m: 1_000, cacheWrite12h: 10, cacheRead: 300, output: 40 })
  t.equal(cost(usage, openai), 7n * 2_000n + 1_010n * 2_500n + 300n * 200n + 40n * 10_000n, 'exact to the nano-USD')
})

t.test('the prices that gw ships are whole and can be found', async t => {
  const all = shippedPrices()
  const table = priceTable(all)
  t.ok(all.length > 40)
  for (const p of all)
    if (table.find(p.model, Math.max(p.from, Date.now()))?.match !== 'exact') t.fail(`${p.model} is not found`)
  t.match(table.find('claude-sonnet-4-5-20250929', Date.now()), {
    match: 'release',
    price: { model: 'claude-sonnet-4-5', webSearch: 10_000_000n },
  })
  const at = (model: string) => table.find(model, Date.UTC(2026, 11, 1))!.price
  const usd = 1_000_000_000n
  t.same(
    at('claude-opus-5').modes.get('fast'),
    {
      ...{ input: 10n * usd, output: 50n * usd, cacheRead: usd, cacheWrite5m: (25n * usd) / 2n },
      ...{ cacheWrite30m: 20n * usd, cacheWrite1h: 20n * usd, cacheWrite12h: 20n * usd },
    },
    'a multiplier multiplies every rate',
  )
  t.match(
    at('gpt-6-astra').modes.get('priority'),
    { input: 20n * usd, cacheWrite30m: 25n * usd, cacheWrite5m: 25n * usd },
    'derived by the ratio',
  )
  t.match(at('gpt-4.1').modes.get('priority'), { input: 3_500_000_000n, cacheRead: 875_000_000n })
  t.equal(at('claude-opus-5-5').modes.get('fast')?.cacheWrite1h, 16n * usd)
  t.notOk(at('gpt-5-nano').modes.has('priority'), 'an artefact of the source is left out')
  const [before, after] = [Date.UTC(2027, 0, 1) - 1, Date.UTC(2027, 0, 1)].map(
    instant => table.find('gemini-3.8-flash', instant)?.price.input,
  )
  t.same([before, after], [750_000_000n, 1_500_000_000n], 'a price changes at its instant, not before')
})

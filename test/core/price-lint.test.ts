// Lint: every way we know to damage a price list is seen, and a list that is right is left in peace.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { readShipped } from '../../src/core/price/file.ts'
import { inspect, readPrices } from '../../src/core/price/import.ts'
import { errors, lint } from '../../src/core/price/lint.ts'
import { shippedPrices } from '../../src/core/price/price.ts'
import type { PriceRow } from '../../src/core/price/row.ts'
import { matchAll } from '../helpers/match.ts'

type Row = Record<string, unknown> & { model: string; tier?: Record<string, unknown>; modes?: Record<string, unknown> }
const file = JSON.parse(readFileSync(new URL('../../config/prices.json', import.meta.url), 'utf8')) as { prices: Row[] }
const shipped = readShipped()
const now = Date.UTC(2026, 11, 1)
const inForce = file.prices.filter(row => Date.parse(row['from'] as string) <= now)

/** What is said of rows that somebody wrote over those gw ships. */
function check(rows: readonly object[]) {
  const text = JSON.stringify({ format: 1, prices: rows })
  return inspect(readPrices(text, { file: 'f', now, from: now }), shipped).findings
}

const writes = ['cache_write_5m', 'cache_write_30m', 'cache_write_1h', 'cache_write_12h'] as const
const fields = ['input', 'output', ...writes, 'cache_read'] as const
const at = (path: string) => path.split('.')
const get = (row: object, path: string) =>
  at(path).reduce<unknown>((value, name) => (value as Record<string, unknown> | undefined)?.[name], row)
const put = (row: Row, path: string, value: unknown): Row => {
  const copy = structuredClone(row)
  const names = at(path)
  const last = names.pop()!
  const holder = names.reduce((of, name) => of[name] as Record<string, unknown>, copy as Record<string, unknown>)
  if (value === undefined) delete holder[last]
  else holder[last] = value
  return copy
}
/** A decimal × 10^places, by moving its point. */
const shift = (text: string, places: number) => {
  const [whole = '', fraction = ''] = text.split('.')
  const point = whole.length + places
  const digits = (whole + fraction).padStart(whole.length + fraction.length + Math.max(0, 1 - point), '0')
  const dot = Math.max(1, point)
  const padded = digits.padEnd(dot, '0')
  return `${padded.slice(0, dot).replace(/^0+(?=\d)/, '')}.${padded.slice(dot) || '0'}`
}

/** Every way to damage a row, each with the levels at which it must be told. */
function* mutations(row: Row): Generator<[name: string, rows: Row[], level?: 'warning']> {
  const paths = [
    ...fields,
    ...fields.map(field => `tier.${field}`),
    ...Object.keys(row.modes ?? {}).flatMap(mode => fields.map(field => `modes.${mode}.${field}`)),
    'web_search',
  ].filter(path => typeof get(row, path) === 'string')
  for (const path of paths) {
    const text = get(row, path) as string
    for (const places of [1, -1, 2, -2, 3, -3, 6, -6])
      yield [`${path} × 10^${places}`, [put(row, path, shift(text, places))]]
    yield [`${path} negative`, [put(row, path, `-${text}`)]]
    yield [
      `${path} with ten decimals`,
      [put(row, path, `${shift(text, 0)}000000001`.replace(/^(\d+\.\d*?)0*1$/, '$10000000001'))],
    ]
    yield [`${path} no number`, [put(row, path, `$${text}`)]]
    yield [`${path} 0`, [put(row, path, '0')]]
    if (/(input|output)$/.test(path)) yield [`${path} missing`, [put(row, path, undefined)]]
  }
  const text = (path: string) => get(row, path) as string
  if (row['cache_read'] && Number(row['cache_read']) * 5 <= Number(row['input']))
    yield ['cache_read missing', [put(row, 'cache_read', null)]]
  for (const field of fields.slice(2)) if (row[field]) yield [`${field} gone`, [put(row, field, undefined)], 'warning']
  if (row['cache_read']) {
    yield ['cache_read above input', [put(row, 'cache_read', shift(text('input'), 0).replace(/0?$/, '1'))]]
    yield ['cache_read and input exchanged', [put(put(row, 'input', row['cache_read']), 'cache_read', row['input'])]]
  }
  for (const field of writes) if (row[field]) yield [`${field} below input`, [put(row, field, row['cache_read'])]]
  if (row['cache_write_1h']) {
    const swapped = put(put(row, 'cache_write_5m', row['cache_write_1h']), 'cache_write_1h', row['cache_write_5m'])
    yield ['cache writes exchanged', [swapped]]
    yield ['cache_write_1h below 5m', [put(row, 'cache_write_1h', row['input'])]]
  }
  yield ['input and output exchanged', [put(put(row, 'input', row['output']), 'output', row['input'])], 'warning']
  if (row.tier) {
    yield ['tier without above', [put(row, 'tier.above', undefined)]]
    yield ['tier above in thousands', [put(row, 'tier.above', (row.tier['above'] as number) / 1000)]]
    yield ['tier above as text', [put(row, 'tier.above', String(row.tier['above']))]]
    yield ['tier below base', [put(row, 'tier.input', shift(text('cache_read'), 0))]]
    yield ['tier of the base rates', [put(row, 'tier', { ...pick(row), above: row.tier['above'] })]]
    yield ['tier of its above alone', [put(row, 'tier', { above: row.tier['above'] })]]
    yield ['tier gone', [put(row, 'tier', undefined)], 'warning']
  }
  for (const mode of Object.keys(row.modes ?? {})) {
    yield [`mode ${mode} gone`, [put(row, `modes.${mode}`, undefined)], 'warning']
    if (mode.endsWith('_multiplier')) yield [`${mode} 10`, [put(row, `modes.${mode}`, '10')]]
    else yield [`mode ${mode} of one column`, [put(row, `modes.${mode}`, { input: text(`modes.${mode}.input`) })]]
  }
  yield ['a mode called standard', [put(put(row, 'modes', row.modes ?? {}), 'modes.standard', pick(row))]]
  yield ['twice', [row, row]]
  yield ['twice, once in capitals', [row, put(row, 'model', row.model.toUpperCase())]]
  yield ['a space in the name', [put(row, 'model', `${row.model} `)]]
  yield ['a star within the name', [put(row, 'model', row.model.replace('-', '*'))]]
  yield ['no name', [put(row, 'model', '')]]
  yield ['a column misspelt', [put(put(row, 'cache_reed', row['cache_read']), 'cache_read', undefined)], 'warning']
}
const pick = (row: Row) => Object.fromEntries(fields.map(field => [field, row[field]]))

t.test('the prices that gw ships have no errors and no warnings', async t => {
  const findings = lint({ rows: shipped, findings: [] }, shipped)
  t.same(
    findings.filter(finding => finding.level !== 'info'),
    [],
  )
  t.same(
    [...new Set(findings.map(finding => finding.field))],
    ['cache_write', 'web_search'],
    'what is unknown is only mentioned',
  )
  t.same(
    [...new Set(findings.filter(one => one.field === 'cache_write').map(one => one.text))],
    [
      'has not a rate for each lifetime; billed are cache_write_12h as cache_write_30m',
      'has not a rate for each lifetime; billed are cache_write_30m and cache_write_12h as input',
    ],
  )
  t.same(errors(check(inForce)), [], 'and none when they are imported')
  t.equal(shippedPrices().length, shipped.length)
})

t.test('of every way to damage a price, in every model, none goes unseen', async t => {
  let caught = 0
  const missed: string[] = []
  const clean = check(inForce)
  // The output rate of embeddings is 0, which nothing damages.
  for (const row of inForce.filter(row => !row['embedding']))
    for (const [name, rows, level = 'error'] of mutations(row)) {
      // What the whole row is told anyway says nothing about the mutation.
      const told = check(rows).filter(
        ({ field, level }) => !clean.some(one => one.field === field && one.level === level),
      )
      const [path = ''] = name.split(' ')
      const field = typeof get(row, path) === 'string' && !name.includes(' and ') ? path : undefined
      const hit = told.find(one => (one.level === 'error' || one.level === level) && (!field || one.field === field))
      if (hit) caught++
      else missed.push(`${row.model}: ${name}: ${told.map(one => `${one.level} ${one.field}`).join(', ')}`)
    }
  t.same(missed, [])
  t.ok(caught > 2000, `${caught} caught`)
  t.comment(`${caught} mutations caught, ${missed.length} missed`)
})

t.test('a finding says what is wrong with which field', async t => {
  const base = inForce.find(row => row.model === 'claude-sonnet-4-5')!
  const cases: [mutated: Row, field: string, level: string, text: RegExp][] = [
    [put(base, 'input', '30'), 'input', 'error', /jumps from the price gw ships: 3\.00 → 30\.00 \(×10\)/],
    [put(base, 'input', '0.6'), 'input', 'error', /3\.00 → 0\.60 \(÷5\)/],
    [
      put(base, 'cache_read', null),
      'cache_read',
      'error',
      /\(×10\).*without cache_read those tokens are billed as input/,
    ],
    [put(base, 'cache_read', '3.01'), 'cache_read', 'error', /above input \(3\.00\)/],
    [put(base, 'cache_write_1h', '3.5'), 'cache_write_1h', 'error', /is below cache_write_5m, which is kept less long/],
    [put(base, 'cache_write_30m', '3.5'), 'cache_write_30m', 'error', /is below cache_write_5m/],
    [put(base, 'cache_write_12h', '5'), 'cache_write_12h', 'error', /is below cache_write_1h/],
    [
      put(put(base, 'cache_write_5m', null), 'cache_write_1h', '4'),
      'cache_write_5m',
      'warning',
      /is gone.*would be billed as cache_write_1h/,
    ],
    [put(base, 'output', null), 'output', 'error', /is missing/],
    [put(base, 'output', '0'), 'output', 'error', /is 0 while other rates are not/],
    [put(base, 'output', '2.9'), 'output', 'warning', /below input/],
    [put(base, 'input', '-3'), 'input', 'error', /negative: -3\.00/],
    [put(base, 'input', '3.0000000001'), 'input', 'error', /more than nine decimals: 3\.0000000001/],
    [put(base, 'input', '0.000003'), 'input', 'error', /per token/],
    [put(base, 'input', 3e-6), 'input', 'error', /per token/],
    [put(base, 'input', '3000'), 'input', 'error', /more than any model costs/],
    [put(base, 'tier.above', undefined), 'tier.above', 'error', /is missing/],
    [put(base, 'tier.output', '14'), 'tier.output', 'error', /below the base rate \(15\.00\)/],
    [put(base, 'tier', undefined), 'tier', 'warning', /is gone/],
    [put(base, 'web_search', undefined), 'web_search', 'warning', /is gone, 0\.01 in the price gw ships/],
    [put(base, 'web_search', '10'), 'web_search', 'error', /divide by 1000/],
    [put(base, 'modes', { priority: { input: '6' } }), 'modes.priority.output', 'error', /is missing/],
    [put(base, 'modes', { flex: { input: '6', output: '30' } }), 'modes.flex.input', 'warning', /exchanged/],
    [put(base, 'modes', undefined), 'modes.batch', 'warning', /is gone/],
    [put(base, 'geo', { us: '11' }), 'geo.us', 'error', /11\.00 times every rate/],
    [put(base, 'geo', { us: '0.9' }), 'geo.us', 'warning', /below 1/],
    [put(base, 'geo', { us: '-1' }), 'geo.us', 'error', /negative/],
    [put(base, 'geo', { us: 'twice' }), 'geo.us', 'error', /is no amount/],
    [put(base, 'geo', { global: '1.1' }), 'geo.global', 'error', /is no region/],
    [put(base, 'geo', { 'U S': '1.1' }), 'geo.U S', 'error', /no region’s name/],
    [put(base, 'geo', '1.1'), 'geo', 'error', /must hold/],
    [put(base, 'cache_reed', '1'), 'cache_reed', 'warning', /is "cache_read" meant/],
    [put(base, 'tier', 'yes'), 'tier', 'error', /must hold rates/],
  ]
  for (const [row, field, level, text] of cases) {
    const told = check([row]).filter(finding => finding.field === field && text.test(finding.text))
    matchAll(t, told, [{ model: 'claude-sonnet-4-5', from: new Date(now), level }], `${field} ${text}`)
  }
  const opus = inForce.find(row => row.model === 'claude-opus-5')!
  matchAll(
    t,
    check([put(opus, 'geo', undefined)]).filter(({ field }) => field === 'geo.us'),
    [{ level: 'warning', text: /is gone/ }],
  )
  matchAll(t, check([{ ...base, from: 'tomorrow' }]), [], 'a date that the import sets is no matter')
  const dated = JSON.stringify({ format: 1, prices: [{ ...base, from: 'tomorrow' }] })
  t.match(inspect(readPrices(dated, { file: 'f', now }), shipped).findings[0], { field: 'from', level: 'error' })
})

t.test('what was accepted, is free, embeds or is new is no error', async t => {
  const said = (row: Row | PriceRow[], against: readonly PriceRow[] = shipped) =>
    (Array.isArray(row) ? lint({ rows: row, findings: [] }, against) : check([row])).filter(one => one.level !== 'info')
  const own: Row = { model: 'own', input: '1', output: '2' }
  t.same(said(own), [])
  t.same(said({ ...own, output: '0', embedding: true }), [])
  matchAll(t, said({ ...own, input: '0', output: '0' }), [{ level: 'warning', text: /free/ }])
  t.same(said({ ...own, model: 'my-*' }), [])
  const [row] = shipped
  const dear = {
    ...row!,
    layer: 'operator' as const,
    from: now,
    rates: { ...row!.rates, input: 5n * row!.rates.input! },
  }
  matchAll(t, said([dear]), [
    { field: 'cache_write_5m', level: 'error' },
    { field: 'cache_write_1h' },
    { field: 'modes.batch.input' },
    { field: 'input' },
  ])
  t.same(said([{ ...dear, accepted: true }]), [])
  const plain = { ...dear, model: 'own', rates: row!.rates, modes: new Map(), geo: new Map() }
  const older = { ...plain, from: now - 2 }
  const newer = { ...plain, from: now - 1, rates: { ...row!.rates, output: row!.rates.output! * 5n } }
  matchAll(t, said([older, newer]), [{ field: 'output', from: new Date(now - 1), text: /from the price before/ }])
  matchAll(t, said([{ ...older, model: 'own*' }, newer]), [], 'a model owes nothing to the prefix that priced it')
  matchAll(t, said([older, { ...newer, model: 'own-latest' }]), [{ field: 'output' }], 'but its release does')
})

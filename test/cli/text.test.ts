// What goes in and comes out as text: the values of options, and tables.
import t from 'tap'
import { layout } from '../../src/cli/table.ts'
import * as read from '../../src/cli/values.ts'
import { Refusal } from '../../src/lib/refusal.ts'
import { brief } from '../../src/lib/units.ts'
import { columns } from '../../src/lib/width.ts'

t.test('values are read strictly', async t => {
  const refused = (work: () => unknown, says: RegExp) =>
    t.throws(work, { kind: 'usage', message: says, constructor: Refusal })
  t.equal(read.usd('--x', 'zero')('12.50'), 12_500_000_000n)
  for (const text of ['', '-1', '1e3', '1.0000000001', '$5', '1,000'])
    refused(() => read.usd('--x', 'zero')(text), /--x must be an amount in USD/)
  refused(() => read.usd('--x', 'above zero')('0'), /more than 0/)
  t.equal(read.multiplier('0'), '0')
  for (const text of ['1.00001', '-1', 'x']) refused(() => read.multiplier(text), /at most 4 places/)
  for (const text of ['1.5', '-1', '0x1', '']) refused(() => read.concurrency(text), /whole number/)
  t.equal(read.since('--since')('2026-01-02T03:04Z').toISOString(), '2026-01-02T03:04:00.000Z')
  t.equal(
    read.since('--since')('2026-01-02 03:04').toISOString(),
    '2026-01-02T03:04:00.000Z',
    'UTC unless it says otherwise',
  )
  for (const text of ['yesterday', '2026-13-01', '1', '-5m'])
    refused(() => read.since('--since')(text), /a duration such as/)
  refused(() => read.until('--expires')('2020-01-01'), /must lie in the future/)
  for (const text of ['10.0.0.0/8', '::1', '2001:db8::/32']) t.equal(read.cidr('--ip')(text), text)
  for (const text of ['10.0.0.0/33', '300.1.1.1', 'host', '::/129', '10.0.0.0/'])
    refused(() => read.cidr('--ip')(text), /IP address or network/)
  t.same(read.several()('a, b', ['c']), ['c', 'a', 'b'])
  t.same(read.several()('none', ['c']), [])
  t.same(read.mapping('a*=b*', { c: 'd' }), { c: 'd', 'a*': 'b*' })
  for (const text of ['a', '=b', 'a=', 'a*b=c', 'a=b*']) refused(() => read.mapping(text), /MODEL=UPSTREAM/)
})

t.test('tables are aligned, and fit', async t => {
  const rows = [
    [{ text: 'alice' }, { text: '5', right: true }],
    [{ text: '東京' }, { text: '12', right: true }],
  ]
  t.strictSame(
    layout(['NAME', 'N'], rows, 80).lines.map(line => line.join('  ')),
    ['NAME    N', 'alice   5', '東京   12'],
  )
  const long = [[{ text: 'a'.repeat(50) }, { text: '1234567', right: true }, { text: '漢'.repeat(15) }]]
  for (const width of [80, 40, 30, 20]) {
    const { lines } = layout(['A', 'N', 'B'], long, width)
    for (const line of lines) t.ok(columns(line.join('  ')) <= width, `${width}`)
    t.match(lines[1]!.join('  '), /a…/)
  }
})

t.test('where there is no room what matters least goes first, and an id is never cut', async t => {
  const id = '0198c0de-1111-7222-8333-444455556666'
  const head = ['AT', 'REQUEST', 'MODEL', 'IN', 'CHARGED', 'MS']
  const numbers = { in: { text: '12345', right: true }, charged: { text: '0.001234', right: true } }
  const rows = [
    [{ text: '3d4h' }, { text: id }, { text: 'a-model-of-a-long-name' }, numbers.in, numbers.charged, numbers.in],
  ]
  const at = (width: number) => {
    const { lines, hidden } = layout(head, rows, width, { ids: [1], less: [5, 3, 2, 0] })
    for (const line of lines) t.ok(columns(line.join('  ')) <= Math.max(width, id.length), `${width}`)
    t.ok(lines[1]!.includes(id), `${width}: ${lines[1]!.join('  ')}`)
    return hidden.map(i => head[i])
  }
  t.strictSame(at(120), [])
  t.strictSame(at(80), [], 'text gives first, as long as it can be read')
  t.strictSame(at(79), ['MS'])
  t.strictSame(at(70), ['IN', 'MS'])
  t.strictSame(at(58), ['MODEL', 'IN', 'MS'])
  t.strictSame(at(46), ['AT', 'MODEL', 'IN', 'MS'])
  t.strictSame(at(40), ['AT', 'MODEL', 'IN', 'CHARGED', 'MS'])
  t.strictSame(at(20), ['AT', 'MODEL', 'IN', 'CHARGED', 'MS'], 'a line alone is wider before an id is cut')
})

t.test('an age is short', async t => {
  const [s, m, h, d] = [1000, 60_000, 3_600_000, 86_400_000]
  for (const [ms, text] of [
    [0, '0s'],
    [45 * s, '45s'],
    [59.7 * s, '1m'],
    [5 * m + 20 * s, '5m'],
    [59.9 * m, '1h'],
    [2 * h + 5 * m, '2h5m'],
    [14 * h, '14h'],
    [23.9 * h, '1d'],
    [3 * d + 4 * h, '3d4h'],
    [2 * d - 1, '2d'],
    [30 * d - 1, '30d'],
  ] as const)
    t.equal(brief(ms), text)
})

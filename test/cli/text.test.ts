// What goes in and comes out as text: the values of options, and tables.
import t from 'tap'
import { layout } from '../../src/cli/table.ts'
import * as read from '../../src/cli/values.ts'
import { Refusal } from '../../src/lib/refusal.ts'
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
  t.same(
    layout(['NAME', 'N'], rows, 80).map(line => line.join('  ')),
    ['NAME    N', 'alice   5', '東京   12'],
  )
  const long = [[{ text: 'a'.repeat(50) }, { text: '1234567', right: true }, { text: 'b'.repeat(30) }]]
  for (const width of [80, 40, 30, 20]) {
    const lines = layout(['A', 'N', 'B'], long, width).map(line => line.join('  '))
    t.ok(
      lines.every(line => columns(line) <= width),
      `${width}`,
    )
    t.match(lines[1], /a…/)
  }
})

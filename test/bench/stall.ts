// A case of streams: how steadily 512 or 1 024 paced ones flow through each gateway, as rows.
import type { Lab } from './lab.ts'
import { median } from './median.ts'
import type { Gate } from './others.ts'
import { type Paced, paced } from './paced.ts'
import { requests } from './requests.ts'
import { digits, type Row } from './table.ts'

export async function stall(lab: Lab, streams: number): Promise<Row[]> {
  for (const site of lab.small) await site.up()
  const gates = [lab.direct, lab.bare, ...lab.small]
  const run = (gate: Gate) => paced(gate.port, streams, requests('paced', `127.0.0.1:${gate.port}`, gate.keys))
  const warmings = lab.options.quick ? 1 : 8
  for (const gate of gates.slice(1)) for (let i = 0; i < warmings; i++) await run(gate)
  const found = new Map<Gate, Paced[]>(gates.map(gate => [gate, []]))
  for (let round = 0; round < lab.options.rounds; round++)
    for (const gate of gates) found.get(gate)!.push(await run(gate))
  const row = (what: string, cell: (of: (name: keyof Paced) => number[]) => string): Row => ({
    table: 'Streams, a delta every 20 ms',
    what,
    cells: Object.fromEntries(
      [...found].map(([gate, list]) => [gate.name, cell(name => list.map(result => result[name]))]),
    ),
  })
  return [
    row(`**${streams} streams**: with a gap over 100 ms`, of => digits(median(of('stalled')))),
    row('worst gap, ms', of => digits(Math.max(...of('worstGapMs')))),
    row('not whole, of all rounds', of => `${of('lost').reduce((sum, lost) => sum + lost)}`),
    row('first delta p50, p99, ms', of => `${digits(median(of('firstP50Ms')))}, ${digits(median(of('firstP99Ms')))}`),
  ]
}

// A case of throughput: the bare proxy, every checkout and others with the same requests, as rows.
import { json, sse } from './answers.ts'
import type { Lab } from './lab.ts'
import type { Gate } from './others.ts'
import { requests, type Shape } from './requests.ts'
import { type Layer, type Pace, sandwich, type Target } from './sandwich.ts'
import { digits, type Row, times } from './table.ts'

interface Comparison {
  what: string
  shape: Exclude<Shape, 'paced' | 'chat'>
  connections: number
  /** answers until the code that serves them is compiled: gw needs more than 30 000 small ones */
  warm: number
  others?: boolean
}

/** Below this share of the core something beside the gateway was in the way. */
const SATURATED = 0.85

export const target = (gate: Gate, shape: Shape): Target => ({
  name: gate.name,
  port: gate.port,
  log: gate.log,
  requests: requests(shape, `127.0.0.1:${gate.port}`, gate.keys),
  used: () => gate.used(),
})

export const pace = ({ options }: Lab, warm: number): Pace => ({
  rounds: options.rounds,
  sliceMs: options.sliceMs,
  warmAnswers: options.quick ? warm / 10 : warm,
  warmMs: options.warmMs,
})

export async function compare(lab: Lab, { what, shape, connections, warm, others }: Comparison): Promise<Row[]> {
  for (const site of lab.alike) await site.up()
  const gates = [...lab.alike, ...(others ? lab.others : [])]
  const layers = await sandwich(
    target(lab.bare, shape),
    gates.map(gate => target(gate, shape)),
    { connections, expected: shape === 'sse' ? sse : json },
    pace(lab, warm),
  )
  const unsteady = layers.flatMap(({ name, steady }) => (steady ? [] : name))
  if (unsteady.length > 0) lab.note(`${what}: when measuring began, not yet steady within 5 %: ${unsteady.join(', ')}.`)
  // The others are so cheap that they wait for provider and load.
  const idle = layers.slice(0, 1 + lab.small.length).filter(({ busy }) => busy < SATURATED)
  if (idle.length > 0)
    lab.note(
      `${what}: the gateway's core was not full, so something else ran on the machine, with ${idle.map(l => `${l.name} (${(l.busy * 100).toFixed(0)} %)`).join(', ')}.`,
    )
  return rows(what, layers)
}

/** The same stream of an upstream, passing and translated, by the same process: its ratio is the last row. */
export async function translated(lab: Lab): Promise<Row[]> {
  const what = 'SSE of 64 deltas, c 16, translated'
  for (const site of lab.small) await site.up()
  const targets: Target[] = []
  for (const gate of lab.small) {
    const chat = target(gate, 'chat')
    targets.push(target(gate, 'sse'), { ...chat, name: `${gate.name} chat`, expected: await lengthOf(gate) })
  }
  const shape = { connections: 16, expected: sse }
  const layers = await sandwich(target(lab.bare, 'sse'), targets, shape, pace(lab, 15_000))
  const ratios = lab.small.map(({ name }) => {
    const of = (label: string) => layers.find(layer => layer.name === label)!.ratio.cpu
    return [`${name} chat`, `**${times(of(`${name} chat`) / of(name))}** of ${name}`] as const
  })
  return [
    ...rows(what, layers),
    { table: 'A request', what: 'translated to passing, CPU', cells: Object.fromEntries(ratios) },
  ]
}

/** Ids and times are of one length: what one answer comes to they all do. */
async function lengthOf({ port, keys }: Gate): Promise<number> {
  const body = { model: 'claude-sonnet-5-5', max_tokens: 64, stream: true, stream_options: { include_usage: true } }
  const reply = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${keys[0]}`, 'content-type': 'application/json' },
    body: JSON.stringify({ ...body, messages: [{ role: 'user', content: 'question' }] }),
  })
  const text = await reply.text()
  if (reply.status !== 200 || !text.endsWith('data: [DONE]\n\n'))
    throw new Error(`no translation: ${text.slice(0, 500)}`)
  return Buffer.byteLength(text)
}

export function rows(what: string, layers: readonly Layer[]): Row[] {
  const row = (label: string, cell: (layer: Layer) => string | undefined): Row => ({
    table: 'A request',
    what: label,
    cells: Object.fromEntries(
      layers.flatMap(layer => {
        const text = cell(layer)
        return text === undefined ? [] : [[layer.name, text]]
      }),
    ),
  })
  const beside = (value: string, ratio: number, { name }: Layer) =>
    name === 'bare' ? value : `**${times(ratio)}** ${value}`
  return [
    row(`**${what}**: CPU µs`, l => beside(digits(l.cpuUs), l.ratio.cpu, l)),
    row('its Postgres, CPU µs', l =>
      l.postgresUs > 0 ? beside(digits(l.postgresUs), l.ratio.postgres, l) : undefined,
    ),
    row('requests/s', l => beside(digits(l.perSecond), l.ratio.perSecond, l)),
    row('p50, p99 ms', l => `${digits(l.p50Ms)}, ${digits(l.p99Ms)}`),
    row('mean scavenge, ms', l => (l.scavengeMs > 0 ? digits(l.scavengeMs) : undefined)),
  ]
}

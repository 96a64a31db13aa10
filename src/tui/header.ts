// The top four lines: which view, how fast, how well, and on which nodes.
import { isOut, type LiveView } from '../control/view.ts'
import { span } from '../lib/units.ts'
import { columns, cut } from '../lib/width.ts'
import type { Gone } from './feed.ts'
import { kinds } from './shapes.ts'
import { amount, bytes, cutLine, type Line, type Mood, measured, type Signs, type Span, tame } from './text.ts'

export const HEADER_LINES = 4

export interface HeaderOptions {
  readonly width: number
  readonly signs: Signs
}

/** The first line: name, views with the current one in brackets, and on the right the time and how it stands. */
export function titleLine(
  view: LiveView | null,
  standing: { current: string; paused: boolean; gone: Gone | null },
  { width, signs }: HeaderOptions,
): Line {
  const { current, gone, paused } = standing
  const state: Span[] = []
  if (paused) state.push({ text: 'PAUSED', mood: 'warn' })
  if (gone) state.push({ text: `${gone.silent ? 'NO DAEMON' : 'DAEMON FAILS'} for ${span(gone.forMs)}`, mood: 'bad' })
  if (state.length === 0) state.push(view ? { text: 'live', mood: 'good' } : { text: 'connecting', mood: 'warn' })
  const words: Line = view ? [{ text: clock(view) }, ...state] : state
  const status = words.flatMap((word): Line => [{ text: ' ' }, word])

  const tabs = ['all' as const, ...kinds].flatMap((id, i): Line => {
    const name = id === 'all' ? 'overview' : id
    if (id === current) return [{ text: '  ' }, { text: `[${i} ${name}]`, mood: 'mark' }]
    return width < 72 ? [] : [{ text: `  ${i} ${name}${view && id !== 'all' ? ` (${view[id].length})` : ''}` }]
  })
  // The state must be readable at any width, so it is the tabs that give.
  const room = width - columnsOf(status)
  const left = cutLine([{ text: 'gw top', mood: 'strong' }, ...tabs], room, signs)
  return cutLine([...left, { text: ' '.repeat(Math.max(0, room - columnsOf(left))) }, ...status], width, signs)
}

const columnsOf = (line: Line) => line.reduce((sum, part) => sum + columns(part.text), 0)

/** `14:02:07Z`, the time of the figures. */
export const clock = (view: LiveView) => `${new Date(view.at).toISOString().slice(11, 19)}Z`

/** Rates and quality on two lines; with short words where the long ones do not fit. */
export function meters(view: LiveView, { width, signs }: HeaderOptions): Line[] {
  const { ttft_ms: ttft } = view
  const bad: Mood | undefined = view.error_rate > 0 ? 'bad' : undefined
  const out = view.accounts.filter(account => isOut(account.state)).length
  const waiting: Mood | undefined = view.waiting > 0 ? 'warn' : undefined
  const lines: readonly (readonly Meter[])[] = [
    [
      ['requests', 'req', `${amount(view.requests_per_s)}/s`],
      ['tokens', 'tok', `${amount(view.tokens_per_s)}/s`],
      ['in flight', 'run', String(view.in_flight)],
      ['waiting', 'wait', String(view.waiting), waiting],
    ],
    [
      ['errors', 'err', percent(view.error_rate), bad],
      ['time to first token p50', 'ttft p50', measured(ttft.p50)],
      ['p95', 'p95', measured(ttft.p95)],
      ['accounts out', 'out', `${out} of ${view.accounts.length}`, out > 0 ? 'bad' : undefined],
    ],
  ]
  return lines.map(line => {
    const wide = written(line, 0)
    const fits = columnsOf(wide) <= width
    return cutLine(fits ? wide : written(line, 1), width, signs)
  })
}

type Meter = readonly [long: string, short: string, value: string, mood?: Mood | undefined]

function written(line: readonly Meter[], words: 0 | 1): Line {
  const gap = words === 0 ? '   ' : ' '
  return line.flatMap(
    ([long, short, value, mood = 'strong'], i): Line => [
      { text: `${i === 0 ? '' : gap}${words === 0 ? long : short} `, mood: 'dim' },
      { text: value, mood },
    ],
  )
}

// A few errors in many requests must not read as none.
function percent(share: number): string {
  const text = (share * 100).toFixed(1)
  return share > 0 && text === '0.0' ? '<0.1%' : `${text}%`
}

/** Who serves: each node with its memory, its share of the requests, and for how long. */
export function nodesLine(view: LiveView, { width, signs }: HeaderOptions): Line {
  const nodes = view.nodes.map(
    node =>
      `${tame(node.name, signs)} rss ${bytes(node.rss_bytes)}, ${node.in_flight} in flight, up ${span(node.uptime_s * 1000)}`,
  )
  const text = `${nodes.length === 1 ? 'node' : `${nodes.length} nodes:`} ${nodes.join(' | ')}`
  return [{ text: cut(text, width, signs.more) }]
}

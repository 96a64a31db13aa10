// The view as text or JSON for scripts and logs: the same figures, no terminal needed.
import { setTimeout as sleep } from 'node:timers/promises'
import type { ControlClient } from '../control/client.ts'
import type { LiveView } from '../control/view.ts'
import { clock, meters, nodesLine } from './header.ts'
import { firstScreen, type View } from './press.ts'
import { table } from './table.ts'
import type { Line, Signs } from './text.ts'

export interface PlainOptions {
  readonly client: ControlClient
  /** how many frames; 0: without end */
  readonly count: number
  readonly everyMs: number
  readonly format: (view: LiveView) => string
  /** @returns false when nobody reads any more */
  readonly write: (text: string) => Promise<boolean>
}

/** @throws Refusal when the daemon does not answer: a script is to know that it has seen no more. */
export async function printFrames({ client, count, everyMs, format, write }: PlainOptions): Promise<void> {
  for (let i = 0; count === 0 || i < count; i++) {
    if (i > 0) await sleep(everyMs)
    const text = format(await client.get<LiveView>('/live'))
    if (!(await write(`${text}\n`))) return
  }
}

const paper = ['accounts', 'users', 'groups'] as const

/** Every row, cut to nothing but `width`; the overview is all three tables here, for paper has no bottom. */
export function plainFrame(
  live: LiveView,
  { width, signs, view }: { width: number; signs: Signs; view: View },
): string {
  const look = { width, signs }
  const { sort } = firstScreen()
  const blocks: (readonly Line[])[] = [
    [[{ text: `gw top ${clock(live)}` }], ...meters(live, look), nodesLine(live, look)],
  ]
  for (const kind of view === 'all' ? paper : [view]) {
    const options = { ...look, now: Date.parse(live.at), sort: sort[kind], filter: '', bars: false }
    const { head, count, rows, none } = table(kind, live, options)
    blocks.push(count > 0 ? [head, ...rows(0, count)] : [[{ text: none }]])
  }
  const textOf = (line: Line) =>
    line
      .map(span => span.text)
      .join('')
      .trimEnd()
  return blocks.map(lines => `${lines.map(textOf).join('\n')}\n`).join('\n')
}

// Draws the whole screen as lines: header, the table or tables that fit, and a footer that says what keys there are.
import type { LiveView } from '../control/view.ts'
import { span } from '../lib/units.ts'
import { columns, cut } from '../lib/width.ts'
import type { FeedState, Gone } from './feed.ts'
import { HEADER_LINES, meters, nodesLine, titleLine } from './header.ts'
import { helpLines } from './help.ts'
import { focus, type Screen } from './press.ts'
import type { Kind } from './shapes.ts'
import { type Table, table } from './table.ts'
import { cutLine, type Line, type Signs, tame } from './text.ts'

export interface Size {
  readonly columns: number
  readonly rows: number
}

export interface Frame {
  /** exactly as many as the screen has rows, none wider than it */
  readonly lines: readonly Line[]
  /** the table that scrolls: its rows, how many are visible, and the first of these */
  readonly scroll: { readonly rows: number; readonly height: number; readonly offset: number }
}

/** Below this many rows under the header, the overview has no room for users. */
const ROOM_FOR_TWO = 12

export function draw(screen: Screen, feed: FeedState, size: Size, signs: Signs): Frame {
  const width = size.columns
  const view = screen.frozen ?? feed.view
  const look = { width, signs }
  const height = Math.max(0, size.rows - HEADER_LINES - 1)
  const { gone } = feed
  const trouble: Line[] = gone
    ? [[{ text: cut(again(gone, tame(gone.why, signs)), width, signs.more), mood: 'bad' }]]
    : []
  const header: Line[] = [
    titleLine(view, { current: screen.view, paused: screen.frozen !== null, gone }, look),
    ...(view ? meters(view, look) : []),
    // Without an answer the figures of nodes are old; the line says why there is no answer instead.
    ...(gone ? trouble : view ? [nodesLine(view, look)] : []),
  ]
  const body = screen.help
    ? { lines: helpLines(look), scroll: { rows: 0, height: 0, offset: 0 } }
    : view
      ? tables(screen, view, width, height, signs)
      : { lines: [], scroll: { rows: 0, height, offset: 0 } }
  const filled = (lines: readonly Line[], count: number) => Array.from({ length: count }, (_, i) => lines[i] ?? [])
  const lines = [...filled(header, HEADER_LINES), ...filled(body.lines, height), footer(screen, body.scroll, look)]
  return { lines: lines.slice(0, size.rows), scroll: body.scroll }
}

const again = ({ attempt, againMs }: Gone, why: string) =>
  `${againMs === 0 ? `trying for the ${nth(attempt)} time` : `${nth(attempt)} try in ${span(againMs)}`}: ${why}`

const nth = (n: number) => `${n}${n % 100 > 10 && n % 100 < 14 ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th')}`

function tables(screen: Screen, view: LiveView, width: number, height: number, signs: Signs): Frame {
  const make = (kind: Kind) =>
    table(kind, view, {
      width,
      signs,
      now: Date.parse(view.at),
      sort: screen.sort[kind],
      filter: screen.filter,
      bars: true,
    })
  const main = make(focus(screen))
  if (screen.view !== 'all' || height < ROOM_FOR_TWO) return window(main, height - 1, screen.offset)

  const users = make('users')
  const share = split(height - 3, main.count, users.count)
  const above = window(main, share.above, screen.offset)
  const below = window(users, share.below, 0)
  const hidden = users.count - share.below
  const more: Line = [{ text: `${signs.more} ${hidden + 1} more: key 1`, mood: 'dim' }]
  const shown = hidden > 0 ? [...below.lines.slice(0, -1), more] : below.lines
  return { lines: [...above.lines, [], ...shown], scroll: above.scroll }
}

/** Both whole if there is room; else the users below get what the accounts leave, and a third at least. */
function split(space: number, accounts: number, users: number): { above: number; below: number } {
  const below = Math.min(Math.max(1, users), Math.max(Math.floor(space / 3), space - Math.max(1, accounts)))
  return { above: Math.min(Math.max(1, accounts), space - below), below }
}

/** The heading, and the rows that are visible under it. */
function window({ head, count, rows, none }: Table, room: number, wanted: number): Frame {
  const height = Math.max(0, room)
  const offset = Math.max(0, Math.min(wanted, count - height))
  const visible = count > 0 ? rows(offset, offset + height) : [[{ text: none }]]
  return { lines: [head, ...visible], scroll: { rows: count, height, offset } }
}

function footer(screen: Screen, scroll: Frame['scroll'], { width, signs }: { width: number; signs: Signs }): Line {
  const hints = screen.help
    ? 'any key goes back'
    : screen.typing
      ? `/${tame(screen.filter, signs)}_  Enter keeps it, Esc clears it`
      : screen.filter
        ? `filter /${tame(screen.filter, signs)}  Esc clears it`
        : width < 72
          ? '? help  / filter  q quit'
          : '? help  / filter  < > sort  r reverse  space pause  Tab view  q quit'
  const last = Math.min(scroll.rows, scroll.offset + scroll.height)
  const place = scroll.height > 0 && scroll.rows > scroll.height ? `${scroll.offset + 1}-${last} of ${scroll.rows}` : ''
  const room = width - columns(place)
  const left = cut(hints, place ? room - 1 : room, signs.more)
  const gap = ' '.repeat(Math.max(0, room - columns(left)))
  return cutLine([{ text: left, mood: screen.typing ? 'strong' : 'dim' }, { text: gap + place }], width, signs)
}

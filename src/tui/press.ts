// What each key does: a pure step from one state of the screen to the next.
import type { Key } from 'ink'
import type { LiveView } from '../control/view.ts'
import { type Kind, kinds, sortable } from './shapes.ts'
import type { Sort } from './table.ts'

/** What is shown below the header; `all` is accounts above users. */
export type View = 'all' | Kind

export const views: readonly View[] = ['all', ...kinds]

/** What the person has chosen; what the daemon says is not in here. */
export interface Screen {
  readonly view: View
  readonly sort: Readonly<Record<Kind, Sort>>
  readonly filter: string
  /** the filter is being typed: letters are text, not commands */
  readonly typing: boolean
  /** first visible row of the table that scrolls */
  readonly offset: number
  /** what was on the screen when it was paused; null: it runs */
  readonly frozen: LiveView | null
  readonly help: boolean
  readonly left: boolean
}

/** A printable character, or the name of a key that has none. */
export type Stroke = string

export interface Press {
  readonly stroke: Stroke
  /** what is on the screen */
  readonly view: LiveView | null
  /** the table that scrolls: its rows, and how many of them are visible */
  readonly scroll: { readonly rows: number; readonly height: number }
}

const busiest: Sort = { column: 'used', reversed: false }
// Those that are out come first, and are not to be looked for among hundreds that are well; then the busiest.
const worst: Sort = { column: 'state', reversed: false }

export function firstScreen(view: View = 'all'): Screen {
  return {
    view,
    sort: { users: busiest, accounts: worst, groups: busiest },
    filter: '',
    typing: false,
    offset: 0,
    frozen: null,
    help: false,
    left: false,
  }
}

/** The table that keys sort and scroll. */
export const focus = (screen: Screen): Kind => (screen.view === 'all' ? 'accounts' : screen.view)

export function press(screen: Screen, { stroke, view, scroll }: Press): Screen {
  if (stroke === 'interrupt') return { ...screen, left: true }
  if (screen.typing) return type(screen, stroke)
  if (screen.help) return { ...screen, help: false }
  const command = commands[stroke]
  if (command) return { ...screen, ...command(screen, view) }
  const to = scrolls[stroke]?.(screen.offset, scroll.height, scroll.rows)
  if (to === undefined) return screen
  return { ...screen, offset: Math.max(0, Math.min(to, scroll.rows - scroll.height)) }
}

type Command = (screen: Screen, view: LiveView | null) => Partial<Screen>

const show = (view: View): Partial<Screen> => ({ view, offset: 0 })
const turn =
  (steps: number): Command =>
  screen => {
    const next = (views.indexOf(screen.view) + steps + views.length) % views.length
    return show(views[next]!)
  }
const sortBy =
  (change: (sort: Sort, columns: string[]) => Sort): Command =>
  screen => {
    const kind = focus(screen)
    return { sort: { ...screen.sort, [kind]: change(screen.sort[kind], sortable(kind)) }, offset: 0 }
  }
const step = (by: number): Command =>
  sortBy((sort, columns) => {
    const next = columns[(columns.indexOf(sort.column) + by + columns.length) % columns.length]!
    return { column: next, reversed: false }
  })

const commands: Readonly<Record<Stroke, Command>> = {
  q: () => ({ left: true }),
  '0': () => show('all'),
  '1': () => show('users'),
  '2': () => show('accounts'),
  '3': () => show('groups'),
  tab: turn(1),
  backtab: turn(-1),
  '<': step(-1),
  '>': step(1),
  r: sortBy(sort => ({ ...sort, reversed: !sort.reversed })),
  '/': () => ({ typing: true, offset: 0 }),
  ' ': (screen, view) => ({ frozen: screen.frozen ? null : view }),
  '?': () => ({ help: true }),
  h: () => ({ help: true }),
  // Back, one step at a time: first every row, then the overview.
  escape: screen => (screen.filter ? { filter: '', offset: 0 } : show('all')),
}

const scrolls: Readonly<Record<Stroke, (offset: number, height: number, rows: number) => number>> = {
  up: offset => offset - 1,
  k: offset => offset - 1,
  down: offset => offset + 1,
  j: offset => offset + 1,
  pageup: (offset, height) => offset - height,
  pagedown: (offset, height) => offset + height,
  home: () => 0,
  g: () => 0,
  end: (_, __, rows) => rows,
  G: (_, __, rows) => rows,
}

function type(screen: Screen, stroke: Stroke): Screen {
  if (stroke === 'enter') return { ...screen, typing: false }
  if (stroke === 'escape') return { ...screen, typing: false, filter: '' }
  const letters = [...screen.filter]
  if (stroke === 'backspace') return { ...screen, filter: letters.slice(0, -1).join('') }
  return [...stroke].length === 1 ? { ...screen, filter: screen.filter + stroke, offset: 0 } : screen
}

const named = [
  ['upArrow', 'up'],
  ['downArrow', 'down'],
  ['pageUp', 'pageup'],
  ['pageDown', 'pagedown'],
  ['home', 'home'],
  ['end', 'end'],
  ['return', 'enter'],
  ['escape', 'escape'],
  ['backspace', 'backspace'],
  ['delete', 'backspace'],
] as const satisfies readonly (readonly [keyof Key, Stroke])[]

/** The strokes in what Ink reports at once: one key, or all the characters of fast typing and pastes. */
export function strokes(input: string, key: Key): Stroke[] {
  if (key.ctrl) return input === 'c' ? ['interrupt'] : []
  if (key.tab) return [key.shift ? 'backtab' : 'tab']
  const name = named.find(([flag]) => key[flag])
  if (name) return [name[1]]
  if (key.meta) return []
  return [...input].flatMap(character => {
    if (character === '\r' || character === '\n') return ['enter']
    if (character === '\t') return ['tab']
    return /\p{Cc}/u.test(character) ? [] : [character]
  })
}

// What the tables show: the columns of users, accounts and groups, how each sorts, and what gives way when it is narrow.
import type { AccountState, AccountView, GroupView, LiveView, Slots, UserView } from '../control/view.ts'
import { span } from '../lib/units.ts'
import { type Mood, type Signs, type Span, tame } from './text.ts'

/** The tables. */
export type Kind = 'users' | 'accounts' | 'groups'

/** In the order of their keys. */
export const kinds: readonly Kind[] = ['users', 'accounts', 'groups']

/** What cells are drawn with. `now` is the view's own time, so that a paused view stands still. */
export interface Look {
  readonly now: number
  readonly signs: Signs
}

export interface Column<R> {
  readonly id: string
  readonly title: string
  /** the title where the long one does not fit */
  readonly short?: string
  readonly right?: boolean
  cell(row: R, look: Look): Span
  /** Absent: the table does not sort by it. Numbers go down and words go up, because that is what one looks for. */
  order?(a: R, b: R): number
}

export interface Shape<R> {
  readonly columns: readonly Column<R>[]
  /** Column and the width it may shrink to, 0 for away, in the order in which they give; numbers are never cut. */
  readonly squeeze: readonly (readonly [id: string, width: number])[]
  /** what the filter looks at */
  words(row: R): string
  /** said when there is no row at all */
  readonly none: string
}

interface Busy {
  readonly name: string
  readonly slots: Slots
  readonly waiting: number
}

const BAR = 6
const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)

// The columns that all three tables have.
const name = (title: string): Column<Busy> => ({
  id: 'name',
  title,
  cell: (row, { signs }) => ({ text: tame(row.name, signs) }),
  order: byName,
})
const used: Column<Busy> = {
  id: 'used',
  title: 'USED/LIMIT',
  short: 'USED',
  right: true,
  cell: ({ slots }, { signs }) => ({
    text: `${slots.used}/${slots.limit === 0 ? signs.infinite : slots.limit}`,
    mood: crowded(slots) ? 'warn' : undefined,
  }),
  order: (a, b) => b.slots.used - a.slots.used || b.waiting - a.waiting,
}
const bar: Column<Busy> = {
  id: 'bar',
  title: '',
  cell: ({ slots }, { signs }) => ({ text: gauge(slots, signs), mood: crowded(slots) ? 'warn' : 'good' }),
}
const waiting: Column<Busy> = {
  id: 'waiting',
  title: 'WAIT',
  right: true,
  cell: row => ({ text: String(row.waiting), mood: row.waiting > 0 ? 'warn' : undefined }),
  order: (a, b) => b.waiting - a.waiting || b.slots.used - a.slots.used,
}
const platform: Column<{ platform: string }> = {
  id: 'platform',
  title: 'PLATFORM',
  cell: (row, { signs }) => ({ text: tame(row.platform, signs) }),
  order: (a, b) => (a.platform < b.platform ? -1 : a.platform > b.platform ? 1 : 0),
}

const crowded = (slots: Slots) => slots.limit > 0 && slots.used >= slots.limit

// Something used is never an empty bar, and only a full account has a full one. No limit, no bar.
function gauge({ used, limit }: Slots, signs: Signs): string {
  if (limit === 0) return ''
  const part = Math.max(1, Math.min(BAR - 1, Math.round((used / limit) * BAR)))
  const full = used >= limit ? BAR : used === 0 ? 0 : part
  return signs.full.repeat(full) + signs.empty.repeat(BAR - full)
}

// Worst first: the order in which the state column sorts.
const moods: Record<AccountState, Mood> = {
  error: 'bad',
  expired: 'bad',
  ejected: 'bad',
  overloaded: 'warn',
  rate_limited: 'warn',
  paused: 'warn',
  full: 'warn',
  available: 'good',
}
const severity = Object.keys(moods)

const accounts: Shape<AccountView> = {
  columns: [
    name('ACCOUNT'),
    platform,
    used,
    bar,
    waiting,
    {
      id: 'state',
      title: 'STATE',
      cell: row => ({ text: row.state, mood: moods[row.state] }),
      order: (a, b) => severity.indexOf(a.state) - severity.indexOf(b.state) || used.order!(a, b),
    },
    {
      id: 'until',
      title: 'FOR',
      right: true,
      cell: (row, { now }) => ({ text: row.until === null ? '' : span(Date.parse(row.until) - now) }),
    },
    { id: 'reason', title: 'REASON', cell: (row, { signs }) => ({ text: tame(row.reason ?? '', signs) }) },
  ],
  squeeze: [
    ['reason', 16],
    ['used', 5],
    ['name', 20],
    ['reason', 8],
    ['name', 14],
    ['bar', 0],
    ['reason', 0],
    ['platform', 0],
    ['until', 0],
    ['name', 8],
    ['waiting', 0],
    ['name', 4],
  ],
  words: row => [row.name, row.platform, row.state, row.reason ?? '', ...row.groups].join(' '),
  none: 'No account yet. Add one: gw account add NAME --platform P --group G --api-key-file FILE',
}

const users: Shape<UserView> = {
  columns: [name('USER'), used, bar, waiting],
  squeeze: [
    ['name', 24],
    ['used', 5],
    ['bar', 0],
    ['name', 6],
  ],
  words: row => row.name,
  none: 'No user yet. Add one: gw user add NAME',
}

const groups: Shape<GroupView> = {
  columns: [
    name('GROUP'),
    platform,
    used,
    bar,
    waiting,
    {
      id: 'available',
      title: 'AVAILABLE',
      right: true,
      cell: row => ({
        text: `${row.available} of ${row.accounts}`,
        mood: row.available === 0 ? 'bad' : row.available < row.accounts ? 'warn' : 'good',
      }),
      // The group that is nearest to serving nobody comes first.
      order: (a, b) => a.available - b.available,
    },
  ],
  squeeze: [
    ['name', 24],
    ['used', 5],
    ['bar', 0],
    ['name', 14],
    ['platform', 0],
    ['name', 6],
  ],
  words: row => `${row.name} ${row.platform}`,
  none: 'No group yet. Add one: gw group add NAME --platform P',
}

/** Calls `work` with the shape of one table and its rows. */
export function withShape<T>(kind: Kind, view: LiveView, work: <R extends Busy>(shape: Shape<R>, rows: R[]) => T): T {
  switch (kind) {
    case 'users':
      return work(users, view.users)
    case 'accounts':
      return work(accounts, view.accounts)
    case 'groups':
      return work(groups, view.groups)
  }
}

const shapes = { users, accounts, groups }

/** The columns that a table can be sorted by, left to right. */
export function sortable(kind: Kind): string[] {
  return shapes[kind].columns.flatMap((column: Column<never>) => (column.order ? [column.id] : []))
}

// Lays one table out: filters, sorts, and fits the columns to the width.
import type { LiveView } from '../control/view.ts'
import { columns, cut } from '../lib/width.ts'
import { type Column, type Kind, type Look, type Shape, withShape } from './shapes.ts'
import { cutLine, fit, type Line, type Span, tame } from './text.ts'

/** By which column, a `Column.id`; `reversed` against the column's own order. */
export interface Sort {
  readonly column: string
  readonly reversed: boolean
}

export interface TableOptions extends Look {
  /** Infinity: nothing is cut */
  readonly width: number
  readonly sort: Sort
  /** only rows that match; empty shows all */
  readonly filter: string
  /** false leaves the bars out, for paper and logs */
  readonly bars: boolean
}

export interface Table {
  readonly head: Line
  readonly count: number
  /** The rows from the first up to but without the second; only these are drawn. */
  rows(from: number, to: number): Line[]
  /** said instead of rows, when there are none */
  readonly none: string
}

const GAP = 2

export function table(kind: Kind, view: LiveView, options: TableOptions): Table {
  return withShape(kind, view, (shape, rows) => layout(kind, shape, rows, options))
}

function layout<R extends { name: string }>(
  kind: Kind,
  shape: Shape<R>,
  all: readonly R[],
  options: TableOptions,
): Table {
  const { sort, signs } = options
  const matches = matcher(options.filter)
  const rows = all.filter(row => matches(shape.words(row))).sort(sorter(shape, sort))
  const kept = shape.columns.filter(column => options.bars || column.id !== 'bar')
  const cells = rows.map(row => kept.map(column => column.cell(row, options)))
  const mark = sort.reversed ? signs.up : signs.down
  const titles = kept.map(column => columns(column.title) + (column.id === sort.column ? 1 : 0))
  const widths = fitting(shape, kept, titles, cells, options.width)

  const shown = kept.flatMap((_, i) => (widths[i] === 0 ? [] : [i]))
  const line = (texts: readonly Span[]): Line => {
    const spans = shown.flatMap((i, place): Line => {
      const { text, mood } = texts[i]!
      const padded = { text: fit(text, widths[i]!, signs, kept[i]!.right), mood }
      return place === 0 ? [padded] : [{ text: ' '.repeat(GAP) }, padded]
    })
    // Below some 30 columns nothing is left to give, and the end of the line goes.
    return cutLine(spans, options.width, signs)
  }
  const head = kept.map((column, i): Span => {
    const sorted = column.id === sort.column
    const room = widths[i]! - (sorted ? 1 : 0)
    // A title is cut without a sign for it: the sign would cost half of what is left.
    const title = (column.title.length > room && column.short ? column.short : column.title).slice(0, Math.max(0, room))
    return { text: sorted ? title + mark : title, mood: sorted ? 'mark' : 'strong' }
  })
  const none =
    all.length === 0 ? shape.none : `No ${kind.slice(0, -1)} matches "${tame(options.filter, signs)}"; Esc shows all`
  return {
    head: line(head),
    count: cells.length,
    rows: (from, to) => cells.slice(from, to).map(line),
    none: cut(none, options.width, signs.more),
  }
}

/** The width of each column: what it holds, less what the table's `squeeze` takes until the line fits. 0: not shown. */
function fitting<R>(
  shape: Shape<R>,
  kept: readonly Column<R>[],
  titles: readonly number[],
  cells: readonly (readonly Span[])[],
  width: number,
): number[] {
  const content = kept.map((_, i) => cells.reduce((most, row) => Math.max(most, columns(row[i]!.text)), 0))
  // A column without any content goes, but not one by which the table may be sorted: it would come and go.
  const widths = kept.map((column, i) => (content[i] === 0 && !column.order ? 0 : Math.max(content[i]!, titles[i]!)))
  const over = () => widths.reduce((sum, w) => sum + (w && w + GAP), -GAP) - width
  for (const [id, least] of shape.squeeze) {
    const excess = over()
    if (excess <= 0) break
    const i = kept.findIndex(column => column.id === id)
    if (i === -1) continue
    // A number that is cut would be another number.
    const floor = least > 0 && kept[i]!.right ? Math.max(least, content[i]!) : least
    widths[i] = least === 0 ? 0 : Math.min(widths[i]!, Math.max(floor, widths[i]! - excess))
  }
  return widths
}

/** Equal rows stand in the order of their names whatever way the column is sorted, so that they do not jump. */
function sorter<R extends { name: string }>(shape: Shape<R>, sort: Sort): (a: R, b: R) => number {
  const order = shape.columns.find(column => column.id === sort.column)?.order
  const sign = sort.reversed ? -1 : 1
  return (a, b) => sign * (order?.(a, b) ?? 0) || (a.name < b.name ? -1 : 1)
}

/** A regular expression, letters of either case; while it is not one yet (`a(`), the text as it stands. */
function matcher(filter: string): (words: string) => boolean {
  if (filter === '') return () => true
  try {
    const pattern = new RegExp(filter, 'iu')
    return words => pattern.test(words)
  } catch {
    const text = filter.toLowerCase()
    return words => words.toLowerCase().includes(text)
  }
}

// Lays out a table: columns aligned, and where a width is given those left out and cut that matter least.
import { columns, cut } from '../lib/width.ts'

export type Row = readonly { readonly text: string; readonly right?: boolean }[]

export interface Layout {
  /** the heading and each row as padded cells, to be joined by two spaces */
  lines: string[][]
  /** the columns that are not shown, by their place */
  hidden: number[]
}

const GAP = 2
// Text gives so much before a column goes, and so much when no more columns can.
const READABLE = 12
const NARROWEST = 6

/**
 * No line is wider than `width`, unless what may not be cut alone is: numbers, which would be other numbers, and columns of `ids`.
 * @param less columns in the order in which they go, those that matter least first; the others then go from the last one on.
 *   The first of `ids`, or else the first column, stays
 */
export function layout(
  head: readonly string[],
  rows: readonly Row[],
  width: number,
  { ids = [], less = [] }: { ids?: readonly number[]; less?: readonly number[] } = {},
): Layout {
  const right = head.map((_, i) => rows.some(row => row[i]?.right))
  const widths = head.map((title, i) =>
    rows.reduce((widest, row) => Math.max(widest, columns(row[i]?.text ?? '')), columns(title)),
  )
  const whole = head.map((_, i) => right[i] || ids.includes(i))
  const hidden = new Set<number>()
  const shown = () => widths.flatMap((w, i) => (hidden.has(i) ? [] : [{ i, w }]))
  const over = () => shown().reduce((sum, { w }) => sum + w + GAP, -GAP) - width
  const squeeze = (narrowest: number) => {
    for (let left = over(); left > 0; left--) {
      const widest = shown().reduce((best, { i, w }) => (!whole[i] && w > (widths[best] ?? narrowest) ? i : best), -1)
      if (widest === -1) return
      widths[widest]! -= 1
    }
  }

  squeeze(READABLE)
  const stays = ids[0] ?? 0
  const others = head.map((_, i) => i).filter(i => !less.includes(i))
  for (const i of [...less, ...others.reverse()]) {
    if (over() <= 0) break
    // What is left may fit when its text gives all it can.
    const least = shown().reduce((sum, { i, w }) => sum + (whole[i] ? w : Math.min(w, NARROWEST)) + GAP, -GAP)
    if (!less.includes(i) && least <= width) break
    if (i !== stays) hidden.add(i)
  }
  squeeze(NARROWEST)

  const pad = (text: string, i: number) => {
    const short = whole[i] ? text : cut(text, widths[i]!, '…')
    const space = ' '.repeat(Math.max(0, widths[i]! - columns(short)))
    return right[i] ? space + short : short + space
  }
  const lines = [head, ...rows.map(row => row.map(cell => cell.text))].map(line =>
    line.flatMap((text, i) => (hidden.has(i) ? [] : [pad(text, i)])),
  )
  return { lines, hidden: [...hidden].sort((a, b) => a - b) }
}

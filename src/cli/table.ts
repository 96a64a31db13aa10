// Lays out a table: columns aligned, and narrowed to fit where a width is given.
import { columns, cut } from '../lib/width.ts'

export type Row = readonly { readonly text: string; readonly right?: boolean }[]

const GAP = 2
const NARROWEST = 6

/** The heading and each row as padded cells, to be joined by two spaces. A line is never wider than `width`. */
export function layout(head: readonly string[], rows: readonly Row[], width: number): string[][] {
  const right = head.map((_, i) => rows.some(row => row[i]?.right))
  const widths = head.map((title, i) => Math.max(columns(title), ...rows.map(row => columns(row[i]?.text ?? ''))))
  let over = widths.reduce((sum, w) => sum + w + GAP, -GAP) - width
  // The widest text gives first; a number that is cut would be another number, so numbers give nothing.
  while (over > 0) {
    const widest = widths.reduce((best, w, i) => (!right[i] && w > (widths[best] ?? 0) ? i : best), -1)
    if (widest === -1 || widths[widest]! <= NARROWEST) break
    widths[widest]! -= 1
    over -= 1
  }
  // What still does not fit goes, from the last column on.
  let shown = head.length
  while (over > 0 && shown > 1) over -= widths[--shown]! + GAP

  const pad = (text: string, i: number) => {
    const short = cut(text, widths[i]!, '…')
    const space = ' '.repeat(Math.max(0, widths[i]! - columns(short)))
    return right[i] ? space + short : short + space
  }
  return [head, ...rows.map(row => row.map(cell => cell.text))].map(line => line.slice(0, shown).map(pad))
}

// Lays out a table: columns aligned, and narrowed to fit where a width is given.
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
    const cut = shorten(text, widths[i]!)
    const space = ' '.repeat(Math.max(0, widths[i]! - columns(cut)))
    return right[i] ? space + cut : cut + space
  }
  return [head, ...rows.map(row => row.map(cell => cell.text))].map(line => line.slice(0, shown).map(pad))
}

function shorten(text: string, width: number): string {
  if (columns(text) <= width) return text
  let cut = ''
  let taken = 0
  for (const character of text) {
    taken += columns(character)
    if (taken > width - 1) break
    cut += character
  }
  return `${cut}…`
}

// Names may be of any script: these take two columns, marks none (Unicode TR11, roughly).
const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u
const ascii = /^[\x20-\x7e]*$/

/** How many columns of a terminal the text takes. */
export function columns(text: string): number {
  if (ascii.test(text)) return text.length
  let sum = 0
  for (const character of text) sum += /\p{M}/u.test(character) ? 0 : wide.test(character) ? 2 : 1
  return sum
}

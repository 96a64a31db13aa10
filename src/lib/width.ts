// How wide text is on a terminal, and where it is cut.
import { createRequire } from 'node:module'

// One column for each character: Latin letters and the signs of gw top, nearly all that is ever shown.
const narrow = /^[\x20-\x7e\xa1-\xac\xae-\u02ff\u2026\u221e\u2588\u2591\u25b2\u25bc]*$/
// Both are dear to load, and most commands show neither ideographs nor emoji.
let segmenter: Intl.Segmenter | undefined
let stringWidth: ((text: string) => number) | undefined

const graphemes = (text: string) => (segmenter ??= new Intl.Segmenter()).segment(text)

function load(): (text: string) => number {
  const { default: measure } = createRequire(import.meta.url)('string-width') as typeof import('string-width')
  return (stringWidth = measure)
}

/** How many columns of a terminal the text takes. */
export function columns(text: string): number {
  if (narrow.test(text)) return text.length
  let sum = 0
  for (const { segment } of graphemes(text)) sum += widthOf(segment)
  return sum
}

// A screen is measured again and again, and has few different characters: looking one up costs a tenth of judging it.
const known = new Map<string, number>()
const KNOWN_MOST = 4096

function widthOf(grapheme: string): number {
  let width = known.get(grapheme)
  if (width === undefined) {
    if (known.size === KNOWN_MOST) known.clear()
    known.set(grapheme, (width = (stringWidth ?? load())(grapheme)))
  }
  return width
}

/** The text, or as much of it as fits `width` with `more`, which takes one column, behind. */
export function cut(text: string, width: number, more: string): string {
  if (width <= 0) return ''
  if (columns(text) <= width) return text
  let kept = ''
  let taken = 0
  for (const { segment } of graphemes(text)) {
    taken += widthOf(segment)
    if (taken > width - 1) break
    kept += segment
  }
  return kept + more
}

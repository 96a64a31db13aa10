// Text that fits a terminal: how wide it is, where it is cut, and which signs the terminal can show.
import { stripVTControlCharacters } from 'node:util'

/** Colour and weight of a span; it only repeats what the words say. */
export type Mood = 'good' | 'warn' | 'bad' | 'dim' | 'strong' | 'mark'

export interface Span {
  readonly text: string
  readonly mood?: Mood | undefined
}

/** One line of the screen, left to right. */
export type Line = readonly Span[]

/** The signs beyond letters and digits. Names are printed in ASCII too where `ascii` is set. */
export interface Signs {
  readonly ascii: boolean
  readonly infinite: string
  readonly more: string
  readonly full: string
  readonly empty: string
  readonly down: string
  readonly up: string
}

const unicode: Signs = { ascii: false, infinite: '∞', more: '…', full: '█', empty: '░', down: '▼', up: '▲' }
const plain: Signs = { ascii: true, infinite: '-', more: '~', full: '#', empty: '.', down: 'v', up: '^' }

/** The signs that the locale in `env` can print. POSIX order: the first one that is set counts. */
export function signsFor(env: NodeJS.ProcessEnv): Signs {
  return /utf-?8/i.test(env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || '') ? unicode : plain
}

// Wide in every terminal (Unicode TR11, roughly); marks and joiners have no width of their own.
const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|\ufe0f/u
const bare = /^[\p{M}\p{Cf}]+$/u
// One column for each character: Latin letters and our own signs, nearly all that is ever shown.
const narrow = /^[\x20-\x7e\xa1-\xac\xae-\u02ff\u2026\u221e\u2588\u2591\u25b2\u25bc]*$/
const graphemes = new Intl.Segmenter()

/** How many columns of a terminal the text takes. */
export function columns(text: string): number {
  if (narrow.test(text)) return text.length
  let sum = 0
  for (const { segment } of graphemes.segment(text)) sum += columnsOf(segment)
  return sum
}

const columnsOf = (grapheme: string) => (bare.test(grapheme) ? 0 : wide.test(grapheme) ? 2 : 1)

/** The text, or as much of it as fits `width` with the sign for "more" behind. */
export function cut(text: string, width: number, signs: Signs): string {
  if (width <= 0) return ''
  if (columns(text) <= width) return text
  let kept = ''
  let taken = 0
  for (const { segment } of graphemes.segment(text)) {
    taken += columnsOf(segment)
    if (taken > width - 1) break
    kept += segment
  }
  return kept + signs.more
}

/** Cut or filled with spaces to exactly `width` columns. */
export function fit(text: string, width: number, signs: Signs, right = false): string {
  const short = cut(text, width, signs)
  const space = ' '.repeat(Math.max(0, width - columns(short)))
  return right ? space + short : short + space
}

/** The line as far as `width` reaches. */
export function cutLine(line: Line, width: number, signs: Signs): Line {
  const kept: Span[] = []
  let left = width
  for (const span of line) {
    const wanted = columns(span.text)
    kept.push(wanted <= left ? span : { ...span, text: cut(span.text, left, signs) })
    left -= wanted
    if (left <= 0) break
  }
  return kept
}

/** A name or reason as it may be printed: it may come from a client, so nothing in it steers the terminal. */
export function tame(text: string, signs: Signs): string {
  const shown = stripVTControlCharacters(text).replaceAll(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, '?')
  return signs.ascii ? shown.replaceAll(/[^\x20-\x7e]/gu, '?') : shown
}

/** `0`, `0.4`, `37`, `8.1k`, `2.4M`: three digits say enough. */
export function amount(value: number): string {
  for (const [size, unit] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const)
    if (value >= size * 0.9995) return `${short(value / size)}${unit}`
  return short(value)
}

/** Bytes in powers of 1024, as ps and top print them: `88M`, `1.2G`. */
export function bytes(value: number): string {
  for (const [size, unit] of [
    [1024 ** 3, 'G'],
    [1024 ** 2, 'M'],
    [1024, 'K'],
  ] as const)
    if (value >= size) return `${short(value / size)}${unit}`
  return `${value}B`
}

const short = (value: number) => (value >= 9.95 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1))

/** A measured time, `420ms 1.9s 12s`; `-` for zero, which means that nothing was measured. */
export function measured(ms: number): string {
  if (ms === 0) return '-'
  if (ms < 999.5) return `${Math.round(ms)}ms`
  return ms < 60_000 ? `${short(ms / 1000)}s` : span(ms)
}

/** A time span in its two largest units: `45s 4m12s 1h05m 2d03h`. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000))
  const two = (value: number) => String(value).padStart(2, '0')
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600), Math.floor(seconds / 60)]
  if (days > 0) return `${days}d${two(hours % 24)}h`
  if (hours > 0) return `${hours}h${two(minutes % 60)}m`
  return minutes > 0 ? `${minutes}m${two(seconds % 60)}s` : `${seconds}s`
}

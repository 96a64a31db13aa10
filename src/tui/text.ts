// Text that fits a terminal: what is cut or filled, which signs the terminal can show, and figures in three digits.
import { stripVTControlCharacters } from 'node:util'
import { span } from '../lib/units.ts'
import { columns, cut } from '../lib/width.ts'

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

/** Cut or filled with spaces to exactly `width` columns. */
export function fit(text: string, width: number, signs: Signs, right = false): string {
  const short = cut(text, width, signs.more)
  const space = ' '.repeat(Math.max(0, width - columns(short)))
  return right ? space + short : short + space
}

/** The line as far as `width` reaches. */
export function cutLine(line: Line, width: number, signs: Signs): Line {
  const kept: Span[] = []
  let left = width
  for (const span of line) {
    const wanted = columns(span.text)
    kept.push(wanted <= left ? span : { ...span, text: cut(span.text, left, signs.more) })
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

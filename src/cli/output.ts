// How results look: one JSON document, or text for people; data on stdout, remarks on stderr.
import { stripVTControlCharacters, styleText } from 'node:util'
import { formatUsd } from '../lib/money.ts'
import { roughly } from '../lib/units.ts'
import type { Shell } from './shell.ts'
import { layout, type Row } from './table.ts'

export interface Output {
  readonly json: boolean
  /** One record: all its fields. `view` is what people see instead. */
  record(value: object, view?: object): void
  /** Records: a JSON array, or a table of `view`s; `empty` is told on stderr when there is none. */
  list<T extends object>(rows: readonly T[], view: (row: T) => object, empty: string): void
  /** The data itself: a JSON document with `--json`, else `text`. */
  print(value: unknown, text: string): void
  /** A remark for the person, on stderr. */
  note(text: string): void
}

type Style = Parameters<typeof styleText>[0]

// Words that carry a state; the colour only repeats what the word says.
const moods: Record<string, Style> = {
  active: 'green',
  available: 'green',
  ready: 'green',
  applied: 'green',
  paused: 'yellow',
  pending: 'yellow',
  draining: 'yellow',
  full: 'yellow',
  rate_limited: 'yellow',
  overloaded: 'yellow',
  ejected: 'red',
  error: 'red',
  expired: 'red',
  disabled: 'red',
  revoked: 'red',
}

export function createOutput(options: { json: boolean; color: boolean; shell: Shell }): Output {
  const { json } = options
  const { stdout, stderr, env } = options.shell
  const color = options.color && Boolean(stdout.isTTY) && !env['NO_COLOR'] && env['TERM'] !== 'dumb'
  const paint = (style: Style, text: string) => (color ? styleText(style, text, { validateStream: false }) : text)
  const paintCell = (padded: string) => {
    const mood = moods[padded.trim()]
    return mood === undefined ? padded : paint(mood, padded)
  }
  const write = (text: string) => stdout.write(`${text}\n`)
  const rows = (objects: readonly object[]): Row[] => {
    const now = Date.now()
    return objects.map(object => Object.values(object).map(value => cell(value, now)))
  }
  const print = (value: unknown) => write(toJson(value))

  return {
    json,
    record(value, view = value) {
      if (json) return void print(value)
      const width = Math.max(...Object.keys(view).map(key => key.length)) + 2
      const now = Date.now()
      for (const [key, field] of Object.entries(view))
        write(paint('dim', key.replaceAll('_', ' ').padEnd(width)) + paintCell(cell(field, now).text))
    },
    list(all, view, empty) {
      if (json) return void print(all)
      const views = all.map(view)
      if (views.length === 0) return void stderr.write(`${empty}\n`)
      const head = Object.keys(views[0]!).map(key => key.replaceAll('_', ' ').toUpperCase())
      const width = (stdout.isTTY ? stdout.columns : undefined) ?? Number.POSITIVE_INFINITY
      const [first, ...rest] = layout(head, rows(views), width)
      write(paint('bold', first!.join('  ').trimEnd()))
      for (const line of rest) write(line.map(paintCell).join('  ').trimEnd())
    },
    print: (value, text) => void (json ? print(value) : write(text)),
    note: text => void stderr.write(`${text}\n`),
  }
}

/** Money as decimal USD, times as ISO 8601 in UTC. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, field) => (typeof field === 'bigint' ? formatUsd(field) : field), 2)
}

/** A value as people read it; numbers stand to the right. */
function cell(value: unknown, now: number): { text: string; right?: boolean } {
  if (typeof value === 'bigint' || typeof value === 'number') return { text: textOf(value, now), right: true }
  return { text: textOf(value, now) || '-' }
}

function textOf(value: unknown, now: number): string {
  if (value === null || value === undefined) return ''
  if (typeof value === 'bigint') return formatUsd(value)
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (value instanceof Date) return relative(value.getTime() - now)
  if (Array.isArray(value)) return value.map(item => textOf(item, now)).join(', ')
  if (typeof value === 'object')
    return textOf(
      Object.entries(value).map(([key, field]) => `${key}=${textOf(field, now)}`),
      now,
    )
  // A model's name comes from a client: what would steer the terminal is not printed.
  return stripVTControlCharacters(String(value)).replaceAll(/\p{Cc}/gu, '?')
}

/** `3m ago`, `in 2d`, `now`. */
function relative(ms: number): string {
  if (Math.abs(ms) < 1000) return 'now'
  return ms < 0 ? `${roughly(-ms)} ago` : `in ${roughly(ms)}`
}

// How results look: one JSON document, or text for people; data on stdout, remarks on stderr.
import { createRequire } from 'node:module'
import { stripVTControlCharacters, styleText } from 'node:util'
import { formatUsd } from '../lib/money.ts'
import { Refusal } from '../lib/refusal.ts'
import { didYouMean } from '../lib/suggest.ts'
import { brief, roughly } from '../lib/units.ts'
import { csvField } from './csv.ts'
import type { Format } from './format.ts'
import type { Shell } from './shell.ts'
import { layout, type Row } from './table.ts'
import { told } from './told.ts'

export interface Output {
  readonly json: boolean
  /** people read it: a table */
  readonly people: boolean
  /** One record: all its fields. `view` is what people see instead. */
  record(value: object, view?: object): void
  /**
   * Records: a table of `view`s, or as the options of the list say; `empty` is told on stderr when there is none.
   * @param less columns of the view that go where a terminal is narrow, those that matter least first
   * @throws Refusal `usage` for a column that there is not
   */
  list<T extends object>(rows: readonly T[], view: (row: T) => object, empty: string, less?: readonly string[]): void
  /**
   * The same of any number of records, page by page as their reader takes them; a table, whose columns must know all of its
   * rows, once all are there.
   */
  pages<T extends object>(
    pages: AsyncIterable<readonly T[]>,
    view: (row: T) => object,
    empty: string,
    less?: readonly string[],
  ): Promise<void>
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

// What names a record: cut, it would name nothing.
const ids = new Set(['id', 'number', 'prefix', 'request', 'request_id', 'entry', 'entry_id'])
const nameless = ['name', 'request_id', 'entry_id', 'id', 'number']

export interface Look {
  format: Format
  /** of lists; default: those of the command */
  columns: readonly string[] | undefined
  headers: boolean
  color: boolean
  shell: Shell
}

export function createOutput(options: Look): Output {
  const { format, columns: asked } = options
  const json = format === 'json'
  let { headers } = options
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
    return objects.map(object => Object.values(object).map(value => cell(value, now, true)))
  }
  const print = (value: unknown) => write(toJson(value))

  /** A heading once, however many pages follow. */
  const csv = <T extends object>(all: readonly T[], view: (row: T) => object): string => {
    const wanted = all.map(one => (asked ? picked(one, view(one), asked) : one))
    const head = headers ? `${Object.keys(wanted[0]!).map(csvField).join(',')}\r\n` : ''
    headers = false
    return head + wanted.map(one => `${Object.values(one).map(csvField).join(',')}\r\n`).join('')
  }

  const self: Output = {
    json,
    people: format === 'table' || format === 'wide',
    record(value, view = value) {
      if (json) return void print(value)
      const width = Math.max(...Object.keys(view).map(key => key.length)) + 2
      const now = Date.now()
      for (const [key, field] of Object.entries(view))
        write(paint('dim', key.replaceAll('_', ' ').padEnd(width)) + paintCell(cell(field, now, false).text))
    },
    list(all, view, empty, less = []) {
      if (json) return void print(all)
      if (all.length === 0) {
        if (format === 'yaml') write('[]')
        return void stderr.write(empty === '' ? '' : `${empty}\n`)
      }
      if (format === 'yaml') return void stdout.write(toYaml(all))
      if (format === 'name') {
        for (const one of all) write(textOf(nameOf(one), 0))
        return
      }
      if (format === 'csv') return void stdout.write(csv(all, view))
      const views = all.map(one => (asked ? picked(one, view(one), asked) : view(one)))
      const names = Object.keys(views[0]!)
      const head = names.map(title)
      const narrow = format === 'table' && stdout.isTTY ? stdout.columns : undefined
      const { lines, hidden } = layout(head, rows(views), narrow ?? Number.POSITIVE_INFINITY, {
        ids: names.flatMap((name, i) => (ids.has(name) ? [i] : [])),
        less: less.map(name => names.indexOf(name)).filter(i => i !== -1),
      })
      const [first, ...rest] = lines
      if (headers) write(paint('bold', first!.join('  ').trimEnd()))
      for (const line of rest) write(line.map(paintCell).join('  ').trimEnd())
      if (hidden.length > 0) {
        const gone = hidden.map(i => names[i]!.replaceAll(' ', '_')).join(', ')
        stderr.write(`not shown for want of room: ${gone}; -o wide shows all, --columns a,b those you name\n`)
      }
    },
    async pages(pages, view, empty, less) {
      const all = []
      let any = false
      for await (const page of pages) {
        if (page.length === 0) continue
        if (self.people) all.push(...page)
        else if (json) {
          // As one document would be: each record stands two further in.
          const text = page.map(one => `  ${toJson(one).replaceAll('\n', '\n  ')}`).join(',\n')
          if (!(await told(stdout, `${any ? ',' : '['}\n${text}`))) return
        } else {
          self.list(page, view, empty, less)
          if (!(await told(stdout, ''))) return
        }
        any = true
      }
      if (json && any) write('\n]')
      else if (!any || self.people) self.list(all, view, empty, less)
    },
    print: (value, text) => void (json ? print(value) : write(text)),
    note: text => void stderr.write(`${text}\n`),
  }
  return self
}

/** Money as decimal USD, times as ISO 8601 in UTC. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, field) => (typeof field === 'bigint' ? formatUsd(field) : field), 2)
}

function toYaml(value: unknown): string {
  const { stringify } = createRequire(import.meta.url)('yaml') as typeof import('yaml')
  return stringify(JSON.parse(toJson(value)))
}

const title = (name: string) => name.replaceAll('_', ' ').toUpperCase()

/** What names a record in other commands. */
function nameOf(record: object): unknown {
  const fields = record as Record<string, unknown>
  const name = nameless.find(one => fields[one] !== null && fields[one] !== undefined)
  return name === undefined ? Object.values(fields)[0] : fields[name]
}

/** The columns that were named, of what people see or of the record itself. */
function picked(record: object, view: object, names: readonly string[]): object {
  const shown = Object.fromEntries(Object.entries(view).map(([name, value]) => [name.replaceAll(' ', '_'), value]))
  const all: Record<string, unknown> = { ...record, ...shown }
  return Object.fromEntries(
    names.map(name => {
      if (Object.hasOwn(all, name)) return [name, all[name]]
      throw new Refusal(
        'usage',
        `--columns: there is no "${name}"${didYouMean(name, Object.keys(all))}; there are ${Object.keys(all).join(', ')}`,
      )
    }),
  )
}

/** A value as people read it; numbers stand to the right. In a table an age is short. */
function cell(value: unknown, now: number, short: boolean): { text: string; right?: boolean } {
  if (typeof value === 'bigint' || typeof value === 'number') return { text: textOf(value, now), right: true }
  if (short && value instanceof Date) return { text: age(value.getTime() - now) }
  return { text: textOf(value, now) || '-' }
}

/** `5m`, `3d4h`; of what is to come `in 5m`. */
function age(ms: number): string {
  return ms <= 0 ? brief(-ms) : `in ${brief(ms)}`
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

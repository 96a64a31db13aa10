// A message in words, for mail and chats: a headline, and lines that say the same in every channel.
import type { AlertMessage } from '../../db/schema-watch.ts'

const number = (value: number): string => (Number.isInteger(value) ? String(value) : value.toFixed(2))

/** On one line: control characters, line breaks among them, become blanks. */
export const oneLine = (text: string): string => text.replace(/[\p{C}\s]+/gu, ' ').trim()

/** One line, whatever rules are called: subject of a mail, first line in a chat. */
export function headline({ kind, severity, rule, lines = [] }: AlertMessage): string {
  if (kind === 'digest') return `[Ops Alert] ${lines.length} message${lines.length === 1 ? ' was' : 's were'} held back`
  const what = { firing: 'is firing', resolved: 'is resolved', test: '(test)' }[kind]
  return oneLine(`[Ops Alert][${severity}] ${rule} ${what}`)
}

/** What there is to know, as `label: value`; those that say nothing are left out. */
export function facts(message: AlertMessage): [label: string, value: string][] {
  const { kind, rule, dimension, metric, op, value, threshold, window_minutes, fired_at, resolved_at } = message
  if (kind === 'digest') return []
  const all: [string, string | null][] = [
    ['Rule', rule],
    ['Of', dimension || null],
    ['Metric', metric || null],
    ['Threshold', threshold === null ? null : `${op} ${number(threshold)}`],
    ['Current', value !== null ? number(value) : kind === 'test' ? null : 'nothing to measure'],
    ['Window', window_minutes === null ? null : `${window_minutes}m`],
    ['Status', kind],
    [kind === 'test' ? 'Time' : 'Since', fired_at],
    ['Until', resolved_at],
  ]
  return all.flatMap(([label, text]) => (text === null || text === '' ? [] : [[label, oneLine(text)]]))
}

/** Sentences before the facts: what happened, and why it is told here. */
export function sentences({ kind, description, lines = [], instead }: AlertMessage): string[] {
  const said =
    kind === 'digest' ? ['More came than may be told within an hour (notify.hourly_cap):', ...lines] : [description]
  return [...said, ...(instead === undefined ? [] : [`Told here because ${instead}.`])].map(oneLine).filter(Boolean)
}

/** All of it as plain text. */
export function plainText(message: AlertMessage): string {
  const told = facts(message).map(([label, value]) => `${label}: ${value}`)
  return [headline(message), ...sentences(message), ...told].join('\n')
}

/** What a digest says of a message that was held back. */
export function held({ kind, severity, rule, dimension, value, metric, fired_at, resolved_at }: AlertMessage): string {
  const of = dimension === '' ? '' : ` (${dimension})`
  const current = value === null ? '' : `, ${metric} ${number(value)}`
  return oneLine(`${severity} ${rule}${of} ${kind}${current}, ${resolved_at ?? fired_at ?? ''}`)
}

/** At most so many UTF-8 bytes, never half a character. */
export function cutBytes(text: string, most: number): string {
  if (Buffer.byteLength(text) <= most) return text
  let cut = Buffer.from(text)
    .subarray(0, most - 3)
    .toString('utf8')
  // What was cut in two is now the sign for that.
  while (cut.endsWith('\ufffd')) cut = cut.slice(0, -1)
  return `${cut}…`
}

/** At most so many characters as JavaScript counts them, never half a pair. */
export function cutLength(text: string, most: number): string {
  if (text.length <= most) return text
  const cut = text.slice(0, most - 1)
  return `${/[\ud800-\udbff]$/.test(cut) ? cut.slice(0, -1) : cut}…`
}

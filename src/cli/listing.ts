// What lists of records have in common: which of them, in which order, and how many; and verbs that change many of them.
import type { Command } from 'commander'
import type { Query, Sort } from '../core/record/listing.ts'
import type { Db } from '../db/connect.ts'
import { Refusal } from '../lib/refusal.ts'
import { didYouMean } from '../lib/suggest.ts'
import type { Invocation } from './command.ts'
import { lists } from './declare.ts'
import type { ListOptions } from './format.ts'
import * as read from './values.ts'

/** So many lines of a table are shown when nobody says how many. */
const SHOWN = 100
const PAGE = 1_000

/** What a list may be narrowed by: the words that are allowed or, as text, what is named. */
export type Fields = Readonly<Record<string, { words: readonly string[] } | string>>

export interface Listing<C extends string> extends ListOptions {
  limit?: number
  sort?: Sort<C>[]
}

/** The options of a list: `fields` narrow it, `columns` put it in order. */
export function listing(command: Command, fields: Fields, columns: readonly string[]): Command {
  lists(command)
  for (const [name, field] of Object.entries(fields)) {
    const what = typeof field === 'string' ? field : field.words.join(', ')
    command.option(`--${name} <${name}>`, `only ${what}; several with commas`, values(`--${name}`, field))
  }
  return command
    .option('--sort <columns>', `by ${columns.join(', ')}; -id or id:desc is the other way round`, sorting(columns))
    .option(
      '--limit <n>',
      `at most so many, 0 for all; default: ${SHOWN} in a table, else all`,
      read.whole('--limit', 0, read.LARGEST),
    )
}

/** The option that chooses the records to change, in place of their names. */
export function where(command: Command, fields: Fields): Command {
  const names = Object.keys(fields)
  return command.option(
    '--where <field=value>',
    `in place of names: all of which this is so (${names.join(', ')}); repeat it`,
    (text: string, before: Record<string, string[]> = {}) => {
      const [, name = '', value = ''] = /^([^=]*)=(.*)$/s.exec(text) ?? []
      const field = Object.hasOwn(fields, name) ? fields[name] : undefined
      if (field === undefined || value.trim() === '')
        throw new Refusal(
          'usage',
          `--where must be FIELD=VALUE with one of ${names.join(' ')}, got ${JSON.stringify(text)}${didYouMean(name, names)}`,
        )
      return { ...before, [name]: values(`--where ${name}`, field)(value, before[name]) }
    },
  )
}

/** Collects the values of one field; of several one is enough. */
function values(flag: string, field: Fields[string]) {
  const one = typeof field === 'string' ? (text: string) => text : read.oneOf(flag, field.words)
  return (text: string, before: readonly string[] = []): string[] => {
    const some = text
      .split(',')
      .map(item => item.trim())
      .filter(Boolean)
    if (some.length === 0) throw new Refusal('usage', `${flag} must name something, got ${JSON.stringify(text)}`)
    return [...before, ...some.map(one)]
  }
}

// As records have it in JSON, and as the option that narrows by it is called.
const alike: Readonly<Record<string, string>> = {
  state: 'status',
  status: 'state',
  created_at: 'created',
  expires_at: 'expires',
}

function sorting(columns: readonly string[]) {
  return (text: string, before: readonly Sort[] = []): Sort[] => [
    ...before,
    ...text.split(',').map(item => {
      const [, minus, word = '', way] = /^(-?)(.*?)(?::(asc|desc))?$/s.exec(item.trim()) ?? []
      const column = columns.includes(word) ? word : (alike[word] ?? word)
      if (!columns.includes(column) || (minus && way))
        throw new Refusal(
          'usage',
          `--sort must be one of ${columns.join(' ')}, or -COLUMN or COLUMN:desc for the other way round, got ${JSON.stringify(item)}${didYouMean(column, columns)}`,
        )
      return { column, descending: minus === '-' || way === 'desc' }
    }),
  ]
}

/** Prints a list: the first of it and how many there are in all, or all, a page at a time. */
export async function printList<T, S extends object>(
  gw: Invocation,
  { limit, ...options }: Listing<string>,
  list: {
    /** what is listed: `key` */
    noun: string
    query: (db: Db) => Promise<Query<T>>
    /** what is shown of a page of them */
    shown: (rows: T[]) => Promise<S[]> | S[]
    view: (row: S) => object
    /** told when there are none at all */
    empty: string
    less: readonly string[]
    fields: Fields
  },
): Promise<void> {
  const { firstOf, pagesOf } = await import('../core/record/listing.ts')
  const { noun, view, less } = list
  const narrowed = Object.keys(list.fields).some(field => Object.hasOwn(options, field))
  const empty = narrowed ? `no such ${noun}; gw ${noun} list shows all` : list.empty
  const most = limit ?? (gw.out.people ? SHOWN : 0)
  if (most > 0) {
    const { rows, total } = await firstOf(await list.query(await gw.db()), most)
    gw.out.list(await list.shown(rows), view, empty, less)
    if (total > rows.length) gw.out.note(`${rows.length} of ${many(total, noun)}; --limit 0 shows all`)
    return
  }
  const { db } = await gw.database()
  async function* pages() {
    for await (const rows of pagesOf(db, PAGE, list.query)) yield await list.shown(rows)
  }
  await gw.out.pages(pages(), view, empty, less)
}

/** `20 000 keys`. */
export function many(n: number, noun: string): string {
  return `${String(n).replaceAll(/\B(?=(\d{3})+$)/g, ' ')} ${noun}${n === 1 ? '' : 's'}`
}

/** Who is to be changed: named one by one, or all that a `--where` fits. */
export interface Which {
  noun: string
  refs: readonly string[]
  where: Record<string, string[]> | undefined
}

/** @throws Refusal `usage` unless it is either names or `--where`; `single` are options that are one record's */
export function checkWhich({ noun, refs, where }: Which, single: Readonly<Record<string, unknown>> = {}): void {
  if (refs.length === 0 && where === undefined)
    throw new Refusal('usage', `which ${noun}? Name one or several, or say --where (--help tells by what)`)
  if (refs.length > 0 && where !== undefined)
    throw new Refusal('usage', `give names or --where, not both: what it fits is not only "${refs[0]}"`)
  const own = Object.keys(single).find(option => single[option] !== undefined)
  if (own !== undefined && isMany({ noun, refs, where }))
    throw new Refusal('usage', `${own} is for one ${noun}; name only that`)
}

export const isMany = ({ refs, where }: Which): boolean => where !== undefined || refs.length > 1

/** The records that are meant. @throws Refusal `missing`, naming all that nobody bears */
export async function meant<T extends { id: number }>(
  { refs, where }: Which,
  find: (ref: string) => Promise<T>,
  list: (filter: Record<string, string[]>) => Promise<Query<T>>,
): Promise<T[]> {
  if (where !== undefined) return (await list(where)).execute()
  const { findEach } = await import('../core/record/named.ts')
  return findEach(refs, find)
}

/** Prints what was changed: the record that was named, or a list of all that were meant. */
export function printChanged<T extends object>(
  gw: Invocation,
  which: Which,
  records: readonly T[],
  { view, row, less }: { view: (record: T) => object; row: (record: T) => object; less: readonly string[] },
): void {
  if (!isMany(which)) {
    gw.out.record(records[0]!, view(records[0]!))
    return
  }
  const { noun } = which
  gw.out.list(gw.out.people ? records.slice(0, SHOWN) : records, row, `no such ${noun}: nothing to change`, less)
  if (records.length > SHOWN && gw.out.people) gw.out.note(`${SHOWN} of them are shown`)
  if (records.length > 0 && !gw.dryRun) gw.out.note(`${many(records.length, noun)} changed`)
}

// The page behind `?`: every key, and what the words in the tables mean.
import { cut } from '../lib/width.ts'
import type { Line, Signs } from './text.ts'

const keys = [
  ['0 1 2 3', 'overview, users, accounts, groups; Tab goes through them'],
  ['j k, arrows', 'scroll; PgUp PgDn by pages, g G to the ends'],
  ['< >', 'sort by the column to the left, to the right; r reverses'],
  ['/', 'show only rows that match, a regular expression; Esc ends it'],
  ['space', 'stand still, go on'],
  ['q', 'leave; so does Ctrl-C'],
] as const

const words = [
  ['used/limit', 'requests in flight of those allowed at once'],
  ['wait', 'requests that wait for a slot'],
  ['full', 'every slot is taken; new requests wait or go elsewhere'],
  ['rate_limited', 'the provider asked to wait; FOR counts down'],
  ['overloaded', 'the provider had no capacity; tried again after FOR'],
  ['ejected', 'it failed; it comes back after FOR'],
  ['paused', 'by an operator: gw account resume NAME'],
  ['error, expired', 'needs an operator: see REASON, then gw account clear NAME'],
] as const

export function helpLines({ width, signs }: { width: number; signs: Signs }): Line[] {
  const line = ([word, text]: readonly [string, string]): Line => {
    const pair = word.padEnd(16)
    return width > 16 ? [{ text: pair, mood: 'strong' }, { text: cut(text, width - 16, signs.more) }] : []
  }
  return [
    [{ text: 'KEYS', mood: 'mark' }],
    ...keys.map(line),
    [],
    [{ text: 'WORDS', mood: 'mark' }],
    ...words.map(line),
  ]
}

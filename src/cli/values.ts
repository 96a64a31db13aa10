// Reads the values of options; each tells in one sentence what it takes.
import { cidrProblem } from '../lib/address.ts'
import { instantRule, parseInstant } from '../lib/instant.ts'
import { type Nano, parseUsd } from '../lib/money.ts'
import { Refusal } from '../lib/refusal.ts'
import { didYouMean } from '../lib/suggest.ts'
import { parseDuration } from '../lib/units.ts'

const refuse = (flag: string, rule: string, got: string, more = ''): never => {
  throw new Refusal('usage', `${flag} must be ${rule}, got ${JSON.stringify(got)}${more}`)
}

/** Said with `none`: take the value away. An object of its own, because commander makes an empty text of null. */
export interface None {
  readonly none: true
}
export type OrNone<T> = T | None
const none: None = { none: true }

/** Whatever `read` reads, or `none`. */
export function orNone<T>(read: (text: string) => T): (text: string) => OrNone<T> {
  return text => (text === 'none' ? none : read(text))
}

/** A whole number; `hint` explains a special value. */
export function whole(flag: string, min: number, max: number, hint = ''): (text: string) => number {
  const rule = max >= LARGEST ? `a whole number of ${min} or more` : `a whole number from ${min} to ${max}`
  return text => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
    return value >= min && value <= max ? value : refuse(flag, rule + (hint && ` (${hint})`), text)
  }
}

/** The largest number a column of Postgres takes. */
export const LARGEST = 2_147_483_647

/** Requests at once. */
export const concurrency = whole('--concurrency', 0, LARGEST, '0 = no limit')

/** An amount of money, as nano-USD. */
export function usd(flag: string, least: 'zero' | 'above zero'): (text: string) => Nano {
  const rule = `an amount in USD such as 12.50, ${least === 'zero' ? '0 or more' : 'more than 0'}, with at most 9 decimals`
  return text => {
    const nano = parseUsd(text)
    return nano !== undefined && nano >= (least === 'zero' ? 0n : 1n) ? nano : refuse(flag, rule, text)
  }
}

/** A decimal with at most four places, as Postgres takes it. */
export function multiplier(text: string): string {
  return /^\d{1,6}(\.\d{1,4})?$/.test(text)
    ? text
    : refuse('--multiplier', 'a decimal of 0 or more with at most 4 places, such as 1.5 (0 = free)', text)
}

/** The argument USD of a verb that moves money. */
export const amount = usd('USD', 'above zero')

/** Why, in a sentence that stays in the books. */
export function note(text: string): string {
  const short = text.trim()
  return short !== '' && short.length <= 500 && !/\p{Cc}/u.test(short)
    ? short
    : refuse('--note', 'one line of 1 to 500 characters', text)
}

/** Days that a subscription lasts. */
export const days = whole('--days', 1, 36_500)

/** What becomes of a model without a price: a word, or the model whose price it gets. */
export function unknownModel(text: string): {
  unknown_model: 'reject' | 'free' | 'fallback'
  fallback_model: string | null
} {
  if (text === 'reject' || text === 'free') return { unknown_model: text, fallback_model: null }
  if (/^[^\s*]{1,200}$/.test(text)) return { unknown_model: 'fallback', fallback_model: text }
  return refuse('--unknown-model', 'reject, free, or the name of a model whose price it gets', text)
}

/** What becomes of a request whose client has left: `stop`, `abort`, or `drain` with how long it is still read. */
export function onDisconnect(text: string): { on_disconnect: 'stop' | 'abort' | 'drain'; drain_ms: number | null } {
  if (text === 'stop' || text === 'abort') return { on_disconnect: text, drain_ms: null }
  // The bare duration is how it was said before there was `stop`.
  const drain_ms = parseDuration(text.replace(/^drain\s+/, ''))
  return drain_ms !== undefined && drain_ms > 0 && drain_ms <= 600_000
    ? { on_disconnect: 'drain', drain_ms }
    : refuse('--on-disconnect', 'stop, abort, or "drain 30s" with a duration up to 10m', text)
}

/** One of a few words. */
export function oneOf<const W extends string>(flag: string, words: readonly W[]): (text: string) => W {
  return text =>
    words.find(word => word === text) ?? refuse(flag, `one of ${words.join(' ')}`, text, didYouMean(text, words))
}

/** The instant that a duration before now, or a date, says. */
export function since(flag: string): (text: string) => Date {
  return text => instant(flag, text, -1)
}

/** The instant that a duration from now, or a date, says; it must be yet to come. */
export function until(flag: string): (text: string) => Date {
  return text => {
    const date = instant(flag, text, 1)
    if (date.getTime() > Date.now()) return date
    throw new Refusal('usage', `${flag} must lie in the future, got ${JSON.stringify(text)}`)
  }
}

/** A length of time, ms. */
export function duration(flag: string): (text: string) => number {
  return text => parseDuration(text) ?? refuse(flag, 'a duration such as 90s, 15m, 12h or 30d', text)
}

function instant(flag: string, text: string, direction: 1 | -1): Date {
  return parseInstant(text, direction, Date.now()) ?? refuse(flag, instantRule, text)
}

/** Collects the values of an option that may be repeated, or hold several with commas; `none` empties the list. */
export function several(read: (text: string) => string = text => text) {
  return (text: string, before: readonly string[] = []): string[] =>
    text === 'none'
      ? []
      : [
          ...before,
          ...text
            .split(',')
            .map(item => item.trim())
            .filter(Boolean)
            .map(read),
        ]
}

/** An address or a network. Checked here, because Postgres keeps it as text. */
export function cidr(flag: string): (text: string) => string {
  return text =>
    cidrProblem(text) === undefined
      ? text
      : refuse(flag, 'an IP address or network such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32', text)
}

/** Collects `MODEL=UPSTREAM`; `none` empties the map. */
export function mapping(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  if (text === 'none') return {}
  const [, model, upstream] = /^([^=\s]+)=([^=\s]+)$/.exec(text) ?? []
  const stars = (name: string) => name.slice(0, -1).includes('*')
  if (
    model === undefined ||
    upstream === undefined ||
    stars(model) ||
    stars(upstream) ||
    (upstream.endsWith('*') && !model.endsWith('*'))
  )
    return refuse(
      '--map',
      'MODEL=UPSTREAM such as claude-sonnet-5=my-sonnet, or claude-*=vendor/claude-* with * only at the end',
      text,
    )
  return { ...before, [model]: upstream }
}

/** Collects `NAME=VALUE`. */
export function pairs(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const [, name, value] = /^([^=\s]+)=(.*)$/s.exec(text) ?? []
  return name === undefined ? refuse('--param', 'NAME=VALUE', text) : { ...before, [name]: value! }
}

/** An e-mail address, loosely: the mail server is the judge. */
export function email(text: string): string {
  return /^[^\s@]+@[^\s@]+$/.test(text) ? text : refuse('--email', 'an address such as alice@example.org', text)
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined | None> | (None extends T[K] ? null : never) }

/** The same object without what was not given, and with null for `none`. */
export function given<T extends object>(fields: T): Given<T> {
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined)
  return Object.fromEntries(kept.map(([key, value]) => [key, value === none ? null : value])) as Given<T>
}

/** @throws Refusal `usage` when a `set` sets nothing */
export function change<T extends object>(fields: T): Given<T> {
  const changes = given(fields)
  if (Object.keys(changes).length === 0)
    throw new Refusal('usage', 'nothing to change; give at least one option (--help lists them)')
  return changes
}

// Reads the parameters of /ops/*: what there is, of which kind, and in words what is wrong with them.
import { instantRule, parseInstant } from '../lib/instant.ts'
import { Refusal } from '../lib/refusal.ts'
import { didYouMean } from '../lib/suggest.ts'

/** Reads one parameter. @throws Refusal `usage` */
export type Parameter<T> = (text: string, name: string) => T

const refuse = (name: string, rule: string, got: string, more = ''): never => {
  throw new Refusal('usage', `${name} must be ${rule}, got ${JSON.stringify(got.slice(0, 200))}${more}`)
}

/** Any text but none. */
export const text: Parameter<string> = (given, name) =>
  given !== '' && given.length <= 500 ? given : refuse(name, 'a text of 1 to 500 characters', given)

export const whole =
  (min: number, max: number): Parameter<number> =>
  (given, name) => {
    const value = /^\d{1,10}$/.test(given) ? Number(given) : Number.NaN
    return value >= min && value <= max ? value : refuse(name, `a whole number from ${min} to ${max}`, given)
  }

export const oneOf =
  <const W extends string>(...words: readonly W[]): Parameter<W> =>
  (given, name) =>
    words.find(word => word === given) ?? refuse(name, `one of ${words.join(' ')}`, given, didYouMean(given, words))

export const yesOrNo: Parameter<boolean> = (given, name) =>
  given === 'true' || given === 'false' ? given === 'true' : refuse(name, 'true or false', given)

/** A length of time back, or a date of RFC 3339. */
export const instant: Parameter<Date> = (given, name) =>
  // A + of a zone comes as a space where nobody encoded it.
  parseInstant(given.replace(/ (?=\d{2}:\d{2}$)/, '+'), -1, Date.now()) ?? refuse(name, instantRule, given)

type Read<P> = { [K in keyof P]?: P[K] extends Parameter<infer T> ? T : never }

/** What was given of `known`. @throws Refusal `usage` for one that there is not, one given twice, and a value that it does not take */
export function parameters<P extends Record<string, Parameter<unknown>>>(query: URLSearchParams, known: P): Read<P> {
  const read: Record<string, unknown> = {}
  const names = Object.keys(known)
  for (const [name, given] of query) {
    if (!Object.hasOwn(known, name)) {
      const there = names.length === 0 ? 'there are none here' : `there are ${names.join(', ')}`
      throw new Refusal(
        'usage',
        `no parameter ${JSON.stringify(name.slice(0, 100))}${didYouMean(name, names)}; ${there}`,
      )
    }
    if (Object.hasOwn(read, name)) throw new Refusal('usage', `${name} is given twice`)
    read[name] = known[name]!(given, name)
  }
  return read as Read<P>
}

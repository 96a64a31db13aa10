// The filter language of gw logs: `status>=500 and (account=a7 or cause~UT) and not recovered`. Mistakes are told with their place.
import { Refusal } from '../../lib/refusal.ts'
import { didYouMean } from '../../lib/suggest.ts'

export type Line = Readonly<Record<string, unknown>>
export type Where = (line: Line) => boolean

/** What lines may have; others there are not. */
export const fields = [
  'level',
  'time',
  'msg',
  'request_id',
  'method',
  'path',
  'status',
  'ms',
  'first_token_ms',
  'queued_ms',
  'ip',
  'user',
  'key',
  'model',
  'account',
  'translated',
  'dropped',
  'attempts',
  'in',
  'out',
  'cached',
  'cause',
  'code',
  'error',
] as const

// What is compared by its size: by letters 5 would be more than 30.
const numbers = new Set<string>(['status', 'ms', 'first_token_ms', 'queued_ms', 'in', 'out', 'cached'])

const levels: Record<string, number> = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60 }

interface Token {
  kind: 'word' | 'text' | 'operator' | 'bracket'
  text: string
  at: number
}

// A word goes as far as it can: models have dots and slashes in them, addresses colons.
const token = /\s*(?:("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(!=|>=|<=|==?|>|<|~)|([()])|([^\s()=!<>~"']+))/y

/** @throws Refusal `usage` with the place of what is wrong, counted from 1 */
export function parseWhere(text: string): Where {
  const tokens = cut(text)
  let next = 0
  const peek = () => tokens[next]
  const fail = (what: string, at: number): never => {
    throw new Refusal('usage', `--where: ${what} at position ${at + 1}\n  ${text}\n  ${' '.repeat(at)}^`)
  }
  const isWord = (word: string) => peek()?.kind === 'word' && peek()!.text.toLowerCase() === word
  const place = () => peek()?.at ?? text.length
  const found = () => (peek() ? `got ${JSON.stringify(peek()!.text)}` : 'it ends')

  function either(): Where {
    const all = [both()]
    while (isWord('or')) {
      next++
      all.push(both())
    }
    return all.length === 1 ? all[0]! : line => all.some(one => one(line))
  }
  function both(): Where {
    const all = [one()]
    while (isWord('and')) {
      next++
      all.push(one())
    }
    return all.length === 1 ? all[0]! : line => all.every(each => each(line))
  }
  function one(): Where {
    if (isWord('not')) {
      next++
      const inner = one()
      return line => !inner(line)
    }
    if (peek()?.kind === 'bracket' && peek()!.text === '(') {
      const { at } = tokens[next++]!
      const inner = either()
      if (peek()?.text !== ')') fail(`a ")" is missing for the "(" at ${at + 1}, ${found()},`, place())
      next++
      return inner
    }
    return comparison()
  }
  function comparison(): Where {
    const name = peek()
    if (name?.kind !== 'word') return fail(`a field is expected, ${found()},`, place())
    const field = fields.find(known => known === name.text)
    if (field === undefined)
      return fail(
        `no field ${JSON.stringify(name.text)}${didYouMean(name.text, fields)} (there are ${fields.join(' ')}),`,
        name.at,
      )
    next++
    const operator = peek()
    // Alone: whether the line has it.
    if (operator?.kind !== 'operator') return line => line[field] !== undefined
    next++
    const value = peek()
    if (value?.kind !== 'word' && value?.kind !== 'text')
      return fail(`a value is expected after ${field}${operator.text}, ${found()},`, place())
    next++
    if (field === 'level' && levels[value.text.toLowerCase()] === undefined)
      return fail(`level is one of ${Object.keys(levels).join(' ')}, got ${JSON.stringify(value.text)},`, value.at)
    if (numbers.has(field) && operator.text !== '~' && Number.isNaN(Number(value.text)))
      return fail(`${field} is a number, got ${JSON.stringify(value.text)},`, value.at)
    const wanted = field === 'level' ? String(levels[value.text.toLowerCase()]) : value.text
    const compare = comparing(operator.text, wanted)
    return line => {
      const given = line[field]
      if (given === undefined) return operator.text === '!='
      return Array.isArray(given) ? given.some(item => compare(item)) : compare(given)
    }
  }

  if (tokens.length === 0) return () => true
  const where = either()
  if (peek()) fail(`"and" or "or" is expected, ${found()},`, place())
  return where

  function cut(text: string): Token[] {
    const cuts: Token[] = []
    const end = text.trimEnd().length
    token.lastIndex = 0
    while (token.lastIndex < end) {
      const from = token.lastIndex
      const match = token.exec(text)
      if (!match) {
        const at = from + /^\s*/.exec(text.slice(from))![0].length
        throw new Refusal(
          'usage',
          `--where: ${/["']/.test(text[at]!) ? 'a text without its end' : `${JSON.stringify(text[at])} means nothing`} at position ${at + 1}\n  ${text}\n  ${' '.repeat(at)}^`,
        )
      }
      const [all, quoted, operator, bracket, word] = match
      const said = quoted ?? operator ?? bracket ?? word!
      cuts.push({
        kind: quoted !== undefined ? 'text' : operator ? 'operator' : bracket ? 'bracket' : 'word',
        text: quoted === undefined ? said : quoted.slice(1, -1).replaceAll(/\\(.)/gs, '$1'),
        at: from + all.length - said.length,
      })
    }
    return cuts
  }
}

/** Numbers by their size, texts by their letters; `~` is "has in it", whatever the case. */
function comparing(operator: string, wanted: string): (given: unknown) => boolean {
  const number = Number(wanted)
  const order = (given: unknown): number =>
    typeof given === 'number' && !Number.isNaN(number)
      ? Math.sign(given - number)
      : String(given) < wanted
        ? -1
        : String(given) > wanted
          ? 1
          : 0
  const lower = wanted.toLowerCase()
  switch (operator) {
    case '~':
      return given => String(given).toLowerCase().includes(lower)
    case '!=':
      return given => order(given) !== 0
    case '>':
      return given => order(given) > 0
    case '>=':
      return given => order(given) >= 0
    case '<':
      return given => order(given) < 0
    case '<=':
      return given => order(given) <= 0
    default:
      return given => order(given) === 0
  }
}

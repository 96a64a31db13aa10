// The kinds of value a setting can have: how each is read, shown and described.

import { resolve } from 'node:path'
import { formatUsd, parseUsd } from '../lib/money.ts'
import { Refusal } from '../lib/refusal.ts'
import { didYouMean } from '../lib/suggest.ts'
import { isTimezone } from '../lib/timezone.ts'
import { formatDuration, formatSize, parseDuration, parseSize } from '../lib/units.ts'

export interface Kind<T> {
  /** What may be written, in Markdown: `integer 1–64`. */
  readonly allowed: string
  /** The same for editors, as a JSON Schema fragment. */
  readonly schema: Readonly<Record<string, unknown>>
  /** Whether the value must never be printed, not even in an error. */
  readonly secret?: true
  /**
   * The value of one line of text; relative paths start at `folder`.
   * @throws Refusal `config` that says what is wrong and what to write instead.
   */
  parse(text: string, folder: string): T
  /** The value of a YAML list; a kind without it takes one value only. */
  parseList?(items: readonly string[]): T
  /** The shortest spelling, without secrets. */
  show(value: T): string
}

// Longer timers overflow Node's 32 bits and fire at once.
const longest = '24d'

/** A file or folder, always absolute once read. */
export function path(): Kind<string> {
  return {
    allowed: 'path',
    schema: { type: 'string' },
    parse(text, folder) {
      if (/^~|\$/.test(text)) refuse(`~ and $ are not expanded in paths, got ${quote(text)}; write the path in full`)
      return resolve(folder, text)
    },
    show: value => value,
  }
}

/** A URL with one of `schemes`, the first being the one to teach. Its password is never shown. */
export function url(schemes: readonly string[], example: string): Kind<string> {
  const starts = schemes.map(scheme => `${scheme}://`)
  return {
    allowed: starts.map(start => `\`${start}…\``).join(' or '),
    schema: { type: 'string', pattern: `^(${schemes.join('|')})://` },
    parse(text) {
      // The text itself may hold a password, so errors quote nothing of it but the scheme.
      if (!starts.some(start => text.startsWith(start))) {
        const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text)?.[0]
        refuse(`must start with ${starts.join(' or ')}${scheme ? `, got ${scheme}` : ''}; write for example ${example}`)
      }
      // libpq and pg allow `user@/database` with the host in the query; URL does not.
      // A Redis cluster is a list of hosts; the first is enough to judge its form.
      if (/\s/.test(text) || !URL.canParse(text.replace('@/', '@localhost/').replace(/,.*/, '')))
        refuse(`is not a valid URL; write ${example}, with / @ # and : in a password percent-encoded`)
      return text
    },
    show: value =>
      value.replace(/^([^:]+:\/\/[^:@/?#]*):[^/?#]*@/, '$1:***@').replace(/([?&][^=&]*pass[^=&]*=)[^&#]*/gi, '$1***'),
  }
}

/** A length of time, in milliseconds once read. */
export function duration(min = '1ms', max = longest): Kind<number> {
  return measure('duration', parseDuration, formatDuration, min, max, 'a unit (ms, s, m, h or d)', '90s or 15m')
}

/** An amount of memory, in bytes once read; KB is 1024 B. */
export function size(min: string, max: string): Kind<number> {
  return measure(
    'size',
    parseSize,
    formatSize,
    min,
    max,
    'a whole number with a unit (B, KB, MB or GB)',
    '32KB or 100MB',
  )
}

function measure(
  noun: string,
  read: (text: string) => number | undefined,
  show: (value: number) => string,
  min: string,
  max: string,
  unit: string,
  example: string,
): Kind<number> {
  const [least, most] = [read(min)!, read(max)!]
  return {
    allowed: `${noun} ${min}–${max}`,
    schema: {
      type: 'string',
      pattern: noun === 'size' ? '^[0-9]+ ?[KMGkmg]?[Bb]$' : '^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$',
    },
    parse(text) {
      const value = read(text)
      if (value === undefined) refuse(`a ${noun} needs ${unit}, got ${quote(text)}; write for example ${example}`)
      if (value < least || value > most) refuse(`must be ${min}–${max}, got "${text}"`)
      return value
    },
    show,
  }
}

/** A whole number from `min` to `max`. */
export function integer(min: number, max: number): Kind<number> {
  return {
    allowed: `integer ${min}–${max}`,
    schema: { type: 'integer', minimum: min, maximum: max },
    parse(text) {
      // 0755 is octal to some readers and 1e3 a float to others: neither is guessed at.
      if (!/^(0|-?[1-9]\d*)$/.test(text))
        refuse(`must be a whole number ${min}–${max} in plain digits, got ${quote(text)}`)
      if (Number(text) < min || Number(text) > max) refuse(`must be ${min}–${max}, got ${text}`)
      return Number(text)
    },
    show: String,
  }
}

/** An amount of money of 0 or more, in nano-USD once read. */
export function usd(): Kind<bigint> {
  return {
    allowed: 'USD such as `12.50`',
    schema: { type: 'string', pattern: '^[0-9]{1,9}(\\.[0-9]{1,9})?$' },
    parse(text) {
      const nano = parseUsd(text)
      if (nano === undefined || nano < 0n)
        return refuse(`must be USD of 0 or more with at most 9 decimals such as 12.50, got ${quote(text)}`)
      return nano
    },
    show: formatUsd,
  }
}

/** One of a few words. */
export function oneOf<const W extends string>(...words: readonly W[]): Kind<W> {
  return {
    allowed: words.map(word => `\`${word}\``).join(' '),
    schema: { enum: words },
    parse: text =>
      words.find(word => word === text) ??
      refuse(`must be one of ${words.join(' ')}, got ${quote(text)}${didYouMean(text, words)}`),
    show: value => value,
  }
}

/** `true` or `false`, no other spelling. */
export function boolean(): Kind<boolean> {
  return {
    allowed: '`true` `false`',
    schema: { type: 'boolean' },
    parse(text) {
      if (text !== 'true' && text !== 'false') refuse(`must be true or false, got ${quote(text)}`)
      return text === 'true'
    },
    show: String,
  }
}

/** Text matching `pattern` as a whole; `rule` says in words what that is. */
export function string(pattern: RegExp, rule: string): Kind<string> {
  return {
    allowed: rule,
    schema: { type: 'string', pattern: pattern.source },
    parse: text => (pattern.test(text) ? text : refuse(`must be ${rule}, got ${quote(text)}`)),
    show: value => value,
  }
}

/** A time zone by its name. */
export function timezone(): Kind<string> {
  return {
    allowed: 'time zone such as `Europe/Berlin` or `UTC`',
    schema: { type: 'string' },
    parse(text) {
      if (isTimezone(text)) return text
      const more = didYouMean(text, Intl.supportedValuesOf('timeZone'))
      return refuse(`must be a time zone such as Europe/Berlin or UTC, got ${quote(text)}${more}`)
    },
    show: value => value,
  }
}

/** Text that travels in a header and is never shown. */
export function secret(): Kind<string> {
  const rule = 'printable ASCII without spaces'
  return {
    allowed: `secret, ${rule}`,
    schema: { type: 'string', pattern: '^[!-~]+$' },
    secret: true,
    parse: text => (/^[!-~]+$/.test(text) ? text : refuse(`must be ${rule}; make one with: openssl rand -hex 32`)),
    show: () => '***',
  }
}

/** Several words: a YAML list, or one line with commas. */
export function list(): Kind<readonly string[]> {
  return {
    allowed: 'list',
    schema: { type: 'array', items: { type: 'string' } },
    parse: text => text.split(',').map(item => item.trim()),
    parseList: items => items,
    show: value => value.join(', '),
  }
}

/** Several words that each are what `problem` finds nothing wrong with, or `none`; `what` names them in Markdown. */
export function listOf(what: string, problem: (item: string) => string | undefined): Kind<readonly string[]> {
  const parseList = (items: readonly string[]): readonly string[] => {
    for (const item of items) {
      const wrong = problem(item)
      if (wrong !== undefined) refuse(wrong)
    }
    return items
  }
  return {
    allowed: `list of ${what}, or \`none\``,
    schema: { type: ['array', 'string'], items: { type: 'string' } },
    parse: text => (text.trim() === 'none' ? [] : parseList(text.split(',').map(item => item.trim()))),
    parseList,
    show: value => (value.length === 0 ? 'none' : value.join(', ')),
  }
}

/** `text` as an error quotes it, control characters escaped. */
export function quote(text: string): string {
  return JSON.stringify(text)
}

/** @throws Refusal `config` always. */
export function refuse(message: string): never {
  throw new Refusal('config', message)
}

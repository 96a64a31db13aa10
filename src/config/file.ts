// The settings of a YAML file as text, each with its line and column; load.ts gives them their types.

import { createRequire } from 'node:module'
import type { Node, Pair, Scalar, YAMLError, YAMLMap } from 'yaml'
import { suggest } from '../lib/suggest.ts'
import { isSettingKey, type SettingKey, settingKeys } from './schema.ts'

export interface Entry {
  readonly key: SettingKey
  /**
   * The source text of the value, so that `0755`, `1e3` or `off` mean what was written; '' when there is none.
   * For a YAML list, the text of each item.
   */
  readonly raw: string | readonly string[]
  /** `gw.yaml:4:9`: where the value starts. */
  readonly at: `${string}:${number}:${number}`
}

export interface Contents {
  /** In the order of the file; a string is a problem, ready to be printed. Values are not looked at here. */
  readonly entries: readonly (Entry | string)[]
  /** False when the file is not YAML, so that what it sets cannot be known. */
  readonly whole: boolean
}

/**
 * Reads `source`, the text of `file`. Sections may be nested (`log: {level: info}`) or dotted (`log.level: info`).
 * Finds what is not YAML, not a setting or set twice.
 */
export function readEntries(file: string, source: string): Contents {
  // Loaded here because most commands run without a file, and yaml costs 40 ms.
  const yaml = createRequire(import.meta.url)('yaml') as typeof import('yaml')
  const lines = new yaml.LineCounter()
  // The failsafe schema leaves every scalar the text it is in the file.
  const document = yaml.parseDocument(source, {
    lineCounter: lines,
    schema: 'failsafe',
    merge: false,
    uniqueKeys: false,
    prettyErrors: false,
  })
  const at = (offset: number): Entry['at'] => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${line}:${col}`
  }

  const broken = [...document.errors, ...document.warnings]
  if (broken.length > 0) return { entries: complaints(broken), whole: false }
  if (document.contents === null) return { entries: [], whole: true }
  if (!yaml.isMap(document.contents)) {
    const here = at(document.contents.range[0])
    return { entries: [`${here} a configuration is lines of the form "key: value"`], whole: false }
  }

  const entries: (Entry | string)[] = []
  const seen = new Map<string, Entry['at']>()
  const walk = (map: YAMLMap, prefix: string): void => {
    for (const pair of map.items as Pair<Node, Node | null>[]) {
      if (!yaml.isScalar(pair.key)) {
        entries.push(`${at(pair.key.range![0])} a key must be a plain word`)
        continue
      }
      const word = prefix + String(pair.key.value)
      const keyAt = at(pair.key.range![0])
      const problem = (text: string) => entries.push(`${keyAt} ${word}: ${text}`)

      if (within(word).length === 0 && !isSettingKey(word)) {
        problem(`is not a setting${nearest(word)}`)
        continue
      }
      const first = seen.get(word)
      if (first !== undefined) {
        problem(`is set twice, first at ${first}; keep one`)
        continue
      }
      seen.set(word, keyAt)

      const value = yaml.isAlias(pair.value) ? pair.value.resolve(document) : pair.value
      const empty = value === null || (yaml.isScalar(value) && isEmpty(value))
      if (value === undefined) problem('refers to an anchor that is not defined')
      else if (!isSettingKey(word)) {
        if (yaml.isMap(value)) walk(value, `${word}.`)
        else if (empty) problem('has nothing below it; delete the line')
        else problem(`is a section; write a setting below it, such as ${within(word)[0]}`)
      } else {
        const valueAt = pair.value ? at(pair.value.range![0]) : keyAt
        if (empty) entries.push({ key: word, raw: '', at: valueAt })
        else if (yaml.isScalar(value)) entries.push({ key: word, raw: String(value.value), at: valueAt })
        else if (yaml.isSeq(value) && value.items.every(item => yaml.isScalar(item) && !isEmpty(item)))
          entries.push({ key: word, raw: value.items.map(String), at: valueAt })
        else problem(`takes a value, got ${yaml.isMap(value) ? 'a map' : 'a list of other things than values'}`)
      }
    }
  }
  walk(document.contents, '')
  return { entries, whole: true }

  // One slip makes yaml complain several times about one line; the first complaint names it.
  function complaints(errors: YAMLError[]): string[] {
    const byLine = Map.groupBy(
      errors.sort((a, b) => a.pos[0] - b.pos[0]),
      error => lines.linePos(error.pos[0]).line,
    )
    return [...byLine].map(([line, [first]]) => {
      const text = source.slice(lines.lineStarts[line - 1]).split('\n', 1)[0]!
      return `${at(first!.pos[0])} is not valid YAML: ${first!.message}${bracketHint(text)}`
    })
  }
}

/** The settings of a section; none when `word` is not one. */
function within(word: string): SettingKey[] {
  return settingKeys.filter(key => key.startsWith(`${word}.`))
}

function isEmpty(scalar: Scalar): boolean {
  return ['', '~', 'null', 'Null', 'NULL'].includes(String(scalar.value))
}

/** `; did you mean "log.level"?`, also for a word that only lacks its section. */
function nearest(word: string): string {
  const below = settingKeys.filter(key => key.endsWith(`.${word}`))
  const sections = new Set(settingKeys.filter(key => key.includes('.')).map(key => key.slice(0, key.indexOf('.'))))
  const near = below.length === 1 ? below[0] : suggest(word, [...settingKeys, ...(word.includes('.') ? [] : sections)])
  return near === undefined ? '; gw config schema lists them all' : `; did you mean "${near}"?`
}

/** YAML reads `[::1]:80` as a list, and its complaint about that helps nobody. */
function bracketHint(line: string): string {
  const address = /:\s+(\[[0-9a-f:.]+\]:\d+)/i.exec(line)?.[1]
  return address === undefined ? '' : `; an IPv6 address needs quotes: "${address}"`
}

// Files of alert rules and their tests: config/alerts.yaml, `alerts.file` and what an operator imports; each mistake with its place.

import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { Node, Pair, Scalar, YAMLMap } from 'yaml'
import { readNamed } from '../../lib/named-file.ts'
import { Refusal } from '../../lib/refusal.ts'
import { didYouMean } from '../../lib/suggest.ts'
import { parseDuration } from '../../lib/units.ts'
import { why } from '../../lib/why.ts'
import { checkName } from '../record/named.ts'
import type { Operator } from './metrics.ts'
import { defaults, type Filters, metricOf, problemsOf, type RuleFields } from './rule.ts'
import { parseSeries, type Sample } from './series.ts'

/** `alerts.yaml:4:9` */
export type Place = string

export interface FileRule {
  fields: RuleFields
  at: Place
}

/** A series of what a metric is at one evaluation after the other. */
export interface FileSeries {
  /** of the rules that watch this metric, or of one rule by name */
  of: string
  /** '' for rules without `*` */
  dimension: string
  samples: Sample[]
  at: Place
}

export interface ExpectedEvent {
  /** ms after the first evaluation */
  atMs: number
  rule: string
  dimension: string
  status: 'firing' | 'resolved'
  at: Place
}

export interface FileTest {
  name: string
  intervalMs: number
  series: FileSeries[]
  events: ExpectedEvent[]
  at: Place
}

export interface RuleFile {
  rules: FileRule[]
  tests: FileTest[]
}

/** The rules that gw comes with. @throws when they are damaged: they are ours */
export function shippedRules(): RuleFile {
  return readRuleFile(fileURLToPath(new URL('../../../config/alerts.yaml', import.meta.url)))
}

/** @throws Refusal `config` with every mistake, one a line: where, what, and what is allowed */
export function readRuleFile(file: string): RuleFile {
  let text = ''
  try {
    text = readNamed(file)
  } catch (error) {
    throw new Refusal('config', `${file} cannot be read: ${why(error)}`, { cause: error })
  }
  return parseRuleFile(file, text)
}

/** The same of `text`; `file` is its name, for messages. */
export function parseRuleFile(file: string, text: string): RuleFile {
  const reader = new Reader(file, text)
  const found = reader.read()
  if (reader.problems.length > 0) throw new Refusal('config', reader.problems.join('\n'))
  return found
}

const ruleKeys = [
  'name',
  'description',
  'enabled',
  'metric',
  'op',
  'threshold',
  'window',
  'sustained',
  'cooldown',
  'severity',
  'where',
  'notify',
  'fallback',
] as const
const testKeys = ['name', 'interval', 'series', 'events'] as const
const eventKeys = ['at', 'rule', 'dimension', 'status'] as const
/** The key of a file that holds what a rule has in this field. */
const keyOf: Partial<Record<keyof RuleFields, string>> = { window_minutes: 'window', cooldown_ms: 'cooldown' }

type Fields = Map<string, { key: Node; value: Node | null }>

class Reader {
  readonly problems: string[] = []
  readonly #file: string
  readonly #text: string
  readonly #yaml = createRequire(import.meta.url)('yaml') as typeof import('yaml')
  readonly #lines = new this.#yaml.LineCounter()

  constructor(file: string, text: string) {
    this.#file = file
    this.#text = text
  }

  read(): RuleFile {
    const document = this.#yaml.parseDocument(this.#text, { lineCounter: this.#lines, prettyErrors: false })
    const [broken] = [...document.errors, ...document.warnings]
    if (broken) {
      this.problems.push(`${this.#place(broken.pos[0])} is not valid YAML: ${broken.message}`)
      return { rules: [], tests: [] }
    }
    const root = document.contents as Node | null
    if (root === null) return { rules: [], tests: [] }
    const top = this.#fields(root, ['rules', 'tests'], 'a file of alert rules')
    const rules = this.#list(top?.get('rules')?.value, 'rules').flatMap(node => this.#rule(node) ?? [])
    const first = new Map<string, Place>()
    for (const { fields, at } of rules) {
      const before = first.get(fields.name)
      if (before !== undefined)
        this.problems.push(`${at} rule "${fields.name}" is there twice, first at ${before}; names are unique`)
      else first.set(fields.name, at)
    }
    return { rules, tests: this.#list(top?.get('tests')?.value, 'tests').flatMap(node => this.#test(node) ?? []) }
  }

  #rule(node: Node): FileRule | undefined {
    const before = this.problems.length
    const fields = this.#fields(node, ruleKeys, 'a rule')
    if (fields === undefined) return undefined
    const name = this.#name(fields, node)
    const metric = metricOf(this.#word(fields, 'metric', node, true) ?? '')
    const rule: RuleFields = {
      ...defaults,
      notify: this.#names(fields.get('notify')?.value, 'notify'),
      name,
      metric,
      description: this.#word(fields, 'description', node) ?? defaults.description,
      enabled: this.#flag(fields, 'enabled') ?? defaults.enabled,
      op: (this.#word(fields, 'op', node, true) ?? '') as Operator,
      threshold: this.#number(fields, 'threshold', node) ?? Number.NaN,
      window_minutes: this.#duration(fields, 'window', 60_000, 'such as 5m') ?? defaults.window_minutes,
      sustained: fields.has('sustained') ? (this.#number(fields, 'sustained', node) ?? Number.NaN) : defaults.sustained,
      cooldown_ms: this.#duration(fields, 'cooldown', 1, 'such as 10m') ?? defaults.cooldown_ms,
      severity: (this.#word(fields, 'severity', node) ?? defaults.severity) as RuleFields['severity'],
      where: this.#where(fields.get('where')?.value),
      fallback: this.#word(fields, 'fallback', node) ?? defaults.fallback,
    }
    // What could not be read was told already, where it stands.
    if (this.problems.length === before)
      for (const { field, text } of problemsOf(rule)) {
        const key = keyOf[field] ?? field
        this.#wrong(fields.get(key)?.value ?? node, `${key} ${text}`)
      }
    return { fields: rule, at: this.#at(fields.get('name')?.value ?? node) }
  }

  #test(node: Node): FileTest | undefined {
    const fields = this.#fields(node, testKeys, 'a test')
    if (fields === undefined) return undefined
    const name = this.#word(fields, 'name', node, true) ?? ''
    const series: FileSeries[] = []
    const all = fields.get('series')?.value ?? null
    if (!this.#yaml.isMap(all))
      this.#wrong(
        all ?? node,
        "series must be a map from a metric (or a rule's name) to its values, such as error_rate: 0x5 12",
      )
    else
      for (const { key, value } of all.items as Pair<Node, Node | null>[]) {
        const [, of = '', , dimension = ''] = /^([^{]*)(\{(.*)\})?$/.exec(this.#scalar(key)) ?? []
        const samples = parseSeries(this.#scalar(value))
        if (typeof samples === 'string') this.#wrong(value ?? key, samples)
        else series.push({ of: metricOf(of), dimension, samples, at: this.#at(key) })
      }
    const events = this.#list(fields.get('events')?.value, 'events').flatMap(one => this.#event(one) ?? [])
    return {
      name,
      intervalMs: this.#duration(fields, 'interval', 1, 'such as 1m') ?? 60_000,
      series,
      events,
      at: this.#at(node),
    }
  }

  #event(node: Node): ExpectedEvent | undefined {
    const fields = this.#fields(node, eventKeys, 'an event')
    if (fields === undefined) return undefined
    const status = this.#word(fields, 'status', node) ?? 'firing'
    if (status !== 'firing' && status !== 'resolved')
      this.#wrong(fields.get('status')?.value ?? node, `status must be firing or resolved, got "${status}"`)
    const at = fields.get('at')
    const text = this.#scalar(at?.value ?? null)
    // YAML reads a bare 0 as a number.
    const atMs = text === '0' ? 0 : parseDuration(text)
    if (atMs === undefined)
      this.#wrong(at?.value ?? node, `at must be the time since the first evaluation, such as 7m or 0s`)
    return {
      atMs: atMs ?? 0,
      rule: this.#word(fields, 'rule', node, true) ?? '',
      dimension: this.#word(fields, 'dimension', node) ?? '',
      status: status as ExpectedEvent['status'],
      at: this.#at(node),
    }
  }

  /** The fields of a map, those that are not `known` told. */
  #fields(node: Node, known: readonly string[], what: string): Fields | undefined {
    if (!this.#yaml.isMap(node)) {
      this.#wrong(node, `${what} must be lines of the form "key: value", with ${known.join(', ')}`)
      return undefined
    }
    const fields: Fields = new Map()
    for (const { key, value } of (node as YAMLMap<Node, Node | null>).items) {
      const word = this.#scalar(key)
      if (!known.includes(word))
        this.#wrong(
          key,
          `"${word}" is not a field of ${what}${didYouMean(word, known) || `; there are ${known.join(', ')}`}`,
        )
      else fields.set(word, { key, value })
    }
    return fields
  }

  #list(node: Node | null | undefined, key: string): Node[] {
    if (node === undefined || node === null || this.#empty(node)) return []
    if (this.#yaml.isSeq(node)) return node.items as Node[]
    this.#wrong(node, `${key} must be a list`)
    return []
  }

  #name(fields: Fields, node: Node): string {
    const name = this.#word(fields, 'name', node, true)
    if (name === undefined) return ''
    try {
      return checkName('alert rule', name)
    } catch (error) {
      this.#wrong(fields.get('name')?.value ?? node, (error as Error).message)
      return name
    }
  }

  #names(node: Node | null | undefined, key: string): string[] {
    return this.#list(node, key).map(one => this.#scalar(one))
  }

  #where(node: Node | null | undefined): Filters {
    if (node === undefined || node === null || this.#empty(node)) return {}
    if (!this.#yaml.isMap(node)) {
      this.#wrong(node, 'where must be a map such as {platform: openai, account: "*"}')
      return {}
    }
    const entries = (node.items as Pair<Node, Node | null>[]).map(({ key, value }) => [
      this.#scalar(key),
      this.#scalar(value),
    ])
    return Object.fromEntries(entries)
  }

  /** Its text, undefined where it is not given; told where it is `needed`. */
  #word(fields: Fields, key: string, node: Node, needed = false): string | undefined {
    const field = fields.get(key)
    if (field && !this.#empty(field.value)) return this.#scalar(field.value)
    if (needed) this.#wrong(field?.key ?? node, `${key} is missing`)
    return undefined
  }

  #number(fields: Fields, key: string, node: Node): number | undefined {
    const field = fields.get(key)
    const value = field && this.#yaml.isScalar(field.value) ? field.value.value : undefined
    if (typeof value === 'number' && Number.isFinite(value)) return value
    this.#wrong(field?.value ?? field?.key ?? node, field ? `${key} must be a number` : `${key} is missing`)
    return undefined
  }

  #flag(fields: Fields, key: string): boolean | undefined {
    const field = fields.get(key)
    if (!field) return undefined
    const value = this.#yaml.isScalar(field.value) ? field.value.value : undefined
    if (typeof value === 'boolean') return value
    this.#wrong(field.value ?? field.key, `${key} must be true or false`)
    return undefined
  }

  /** In units of `unit` ms. */
  #duration(fields: Fields, key: string, unit: number, such: string): number | undefined {
    const field = fields.get(key)
    if (!field) return undefined
    const ms = parseDuration(this.#scalar(field.value))
    if (ms !== undefined) return ms / unit
    this.#wrong(field.value ?? field.key, `${key} must be a duration ${such}`)
    return undefined
  }

  /** As it is written: `1e3` and `off` are the text that they are. */
  #scalar(node: Node | null | undefined): string {
    if (!node || !this.#yaml.isScalar(node)) return ''
    return typeof node.value === 'string' ? node.value : ((node as Scalar).source ?? String(node.value))
  }

  #empty = (node: Node | null): boolean => node === null || (this.#yaml.isScalar(node) && node.value === null)

  #wrong(node: Node, text: string): void {
    this.problems.push(`${this.#at(node)} ${text}`)
  }

  #at = (node: Node): Place => this.#place(node.range![0])

  #place(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset)
    return `${this.#file}:${line}:${col}`
  }
}

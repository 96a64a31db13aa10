// gw alert rule add, list, show, set, enable, disable, rm and metrics.
import { filterNames, metrics } from '../../core/alert/metrics.ts'
import { conditionOf, defaults, type Rule, type RuleFields } from '../../core/alert/rule.ts'
import { addRule, findRule, listRules, removeRule, setRule } from '../../core/alert/rules.ts'
import { checkNames, type Evaluated, evaluated, statesOf } from '../../core/alert/states.ts'
import { Refusal } from '../../lib/refusal.ts'
import { formatDuration } from '../../lib/units.ts'
import type { Invocation } from '../command.ts'
import * as read from '../values.ts'
import { fieldsOf, type RuleOptions } from './rule.ts'

const span = (ms: number) => (ms === 0 ? '0s' : formatDuration(ms))

export const view = (rule: Rule) => {
  const {
    id,
    name,
    source,
    enabled,
    severity,
    cooldown_ms,
    notify,
    fallback,
    description,
    last_triggered_at,
    overridden,
  } = rule
  return {
    id,
    name,
    fires: conditionOf(rule),
    severity,
    enabled,
    cooldown: span(cooldown_ms),
    notify: notify.length === 0 ? 'every channel' : notify,
    fallback,
    source,
    ...(overridden.length > 0 ? { changed_here: overridden } : {}),
    last_fired: last_triggered_at,
    description,
  }
}

export async function add(gw: Invocation, name: string, options: RuleOptions & { disabled?: boolean }): Promise<void> {
  const { disabled, ...terms } = options
  for (const [needed, such] of [
    ['metric', 'error_rate'],
    ['op', "'>'"],
    ['threshold', '5'],
  ] as const)
    if (terms[needed] === undefined)
      throw new Refusal('usage', `--${needed} is missing, such as --${needed} ${such} (gw alert rule add --help)`)
  const fields = { ...defaults, ...fieldsOf(terms), name, enabled: disabled !== true } as RuleFields
  const rule = await gw.write(async db => {
    await checkNames(db, fields)
    return addRule(db, fields)
  })
  gw.out.record(rule, view(rule))
}

interface Listed extends Rule {
  states: Evaluated[]
  missed: number
  missed_at: Date | null
}

async function withStates(gw: Invocation, rules: readonly Rule[]): Promise<Listed[]> {
  const byRule = await evaluated(await gw.db())
  return rules.map(rule => ({ ...rule, ...statesOf(rule, byRule) }))
}

const row = (rule: Listed) => {
  const { id, name, severity, enabled, source, states, missed, last_triggered_at } = rule
  const firing = states.filter(state => state.firing).length
  const { value } = states.length === 1 ? states[0]! : { value: null }
  const state = !enabled ? 'disabled' : firing > 0 ? `firing${firing > 1 ? ` ${firing}` : ''}` : 'quiet'
  return {
    id,
    name,
    severity,
    state,
    fires: conditionOf(rule),
    value: value === null ? null : Number(value.toFixed(2)),
    missed,
    source,
    last_fired: last_triggered_at,
  }
}

export async function list(gw: Invocation): Promise<void> {
  const rules = await withStates(gw, await listRules(await gw.db()))
  gw.out.list(rules, row, 'no rules; those that gw ships come with its first start', [
    'source',
    'missed',
    'last_fired',
    'value',
    'id',
  ])
}

export async function show(gw: Invocation, ref: string): Promise<void> {
  const [rule] = await withStates(gw, [await findRule(await gw.db(), ref)])
  const { states, missed, missed_at } = rule!
  const said = states.map(({ dimension, value, breaches, firing }) => {
    const now = value === null ? 'nothing to measure' : String(Number(value.toFixed(2)))
    return `${dimension === '' ? '' : `${dimension}: `}${now}${breaches > 0 ? `, breached ${breaches} in a row` : ''}${firing ? ', firing' : ''}`
  })
  gw.out.record(rule!, {
    ...view(rule!),
    now: said,
    missed: missed === 0 ? 0 : `${missed}, the last before ${missed_at?.toISOString()}`,
  })
}

export async function set(gw: Invocation, ref: string, options: RuleOptions & { name?: string }): Promise<void> {
  const change = read.change(fieldsOf(options)) as Partial<RuleFields>
  const rule = await gw.write(async db => {
    await checkNames(db, change)
    return setRule(db, ref, change)
  })
  gw.out.record(rule, view(rule))
}

export async function enable(gw: Invocation, refs: readonly string[], enabled: boolean): Promise<void> {
  const rules = await gw.write(async db => {
    const done: Rule[] = []
    for (const ref of refs) done.push(await setRule(db, ref, { enabled }))
    return done
  })
  if (rules.length === 1) gw.out.record(rules[0]!, view(rules[0]!))
  else gw.out.list(rules, ({ id, name, enabled }) => ({ id, name, enabled }), '')
}

export async function rm(gw: Invocation, ref: string): Promise<void> {
  const { name, source } = await findRule(await gw.db(), ref)
  if (source === 'operator') await gw.confirm(`remove alert rule "${name}"`)
  const rule = await gw.write(db => removeRule(db, ref))
  gw.out.record(rule, view(rule))
}

export function listMetrics(gw: Invocation): void {
  const rows = Object.entries(metrics).map(([name, { unit, filters, text }]) => {
    return { name, unit, filters: filterNames.filter(one => filters.includes(one)), meaning: text }
  })
  gw.out.list(rows, one => one, '', ['filters'])
}

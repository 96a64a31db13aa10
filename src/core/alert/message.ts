// What is told of an alert, in words: titles, descriptions, and the message that notifiers make their formats of.
import type { AlertMessage, Severity } from '../../db/schema-watch.ts'
import { roughly } from '../../lib/units.ts'
import type { Rule } from './rule.ts'

/** An event as it is told. */
export interface Told {
  rule_id: number | null
  rule: string
  dimension: string
  severity: Severity
  title: string
  description: string
  metric: string
  op: string
  value: number
  threshold: number
  window_minutes: number
  fired_at: Date
  resolved_at: Date | null
}

const LONGEST_TITLE = 200

/** Whole numbers as they are, others with two decimals. */
export const plain = (value: number): string => (Number.isInteger(value) ? String(value) : value.toFixed(2))

/** `P1: error-rate`, and which dimension. */
export function titleOf({ name, severity }: Pick<Rule, 'name' | 'severity'>, dimension: string): string {
  const whole = `${severity}: ${name}${dimension === '' ? '' : ` (${dimension})`}`
  return whole.length <= LONGEST_TITLE ? whole : `${whole.slice(0, LONGEST_TITLE - 1)}…`
}

/** `Rule x triggered: error_rate > 5 (current 12.50) over last 1m`, and what the rule says of itself. */
export function descriptionOf(rule: Rule, dimension: string, value: number): string {
  const fixed = Object.entries(rule.where).flatMap(([name, of]) => (of === '*' ? [] : [`${name}=${of}`]))
  const where = [...fixed, ...(dimension === '' ? [] : [dimension])].join(',')
  const said = `Rule ${rule.name} triggered: ${rule.metric} ${rule.op} ${plain(rule.threshold)} (current ${plain(value)}) over last ${rule.window_minutes}m`
  return `${said}${where === '' ? '' : ` for ${where}`}${rule.description === '' ? '' : `. ${rule.description}`}`
}

/** The notice that it fires. */
export const firingMessage = (event: Told): AlertMessage => message('firing', event, event.description, event.value)

/** The notice that it is over; `why` is the rest of the sentence. */
export function resolvedMessage(event: Told, why: string, value: number | null): AlertMessage {
  const lasted = roughly(Math.max(0, (event.resolved_at?.getTime() ?? 0) - event.fired_at.getTime()))
  return message('resolved', event, `Rule ${event.rule} resolved after ${lasted}: ${why}`, value)
}

function message(kind: AlertMessage['kind'], event: Told, description: string, value: number | null): AlertMessage {
  return {
    kind,
    rule_id: event.rule_id,
    rule: event.rule,
    severity: event.severity,
    dimension: event.dimension,
    title: event.title,
    description,
    metric: event.metric,
    op: event.op,
    value,
    threshold: event.threshold,
    window_minutes: event.window_minutes,
    fired_at: event.fired_at.toISOString(),
    resolved_at: event.resolved_at?.toISOString() ?? null,
  }
}

/** A notice that only tries the channels of a rule. */
export function testMessage(rule: Rule): AlertMessage {
  const at = new Date()
  return {
    kind: 'test',
    rule_id: rule.id,
    rule: rule.name,
    severity: rule.severity,
    dimension: '',
    title: titleOf(rule, ''),
    description: `This is a test of rule ${rule.name}: ${rule.metric} ${rule.op} ${plain(rule.threshold)}. Nothing fires.`,
    metric: rule.metric,
    op: rule.op,
    value: null,
    threshold: rule.threshold,
    window_minutes: rule.window_minutes,
    fired_at: at.toISOString(),
    resolved_at: null,
  }
}

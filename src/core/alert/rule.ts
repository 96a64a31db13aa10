// An alert rule: what it says, and what is wrong with one that says too much or too little.
import { platforms } from '../../db/schema.ts'
import { type Severity, severities } from '../../db/schema-watch.ts'
import { didYouMean } from '../../lib/suggest.ts'
import { formatDuration } from '../../lib/units.ts'
import { aliases, type FilterName, filterNames, metricNames, metrics, type Operator, operators } from './metrics.ts'

/** By name; `*`: each by itself, with events of its own. */
export type Filters = Partial<Record<FilterName, string>>

/** What whoever writes a rule says of it. */
export interface RuleFields {
  name: string
  description: string
  enabled: boolean
  metric: string
  op: Operator
  threshold: number
  window_minutes: number
  /** evaluations in a row (one each `ops.interval`) before it fires */
  sustained: number
  /** from one firing to the next at least so long, ms */
  cooldown_ms: number
  severity: Severity
  where: Filters
  /** channels by name; empty: all */
  notify: string[]
  /** the channel that is told when another does not take it */
  fallback: string | null
}

export interface Rule extends RuleFields {
  id: number
  /** shipped: of config/alerts.yaml; file: of `alerts.file` */
  source: 'operator' | 'shipped' | 'file'
  /** the fields that an operator set over what the file says */
  overridden: string[]
  last_triggered_at: Date | null
  created_at: Date
  updated_at: Date
}

/** What a rule that does not say it has. */
export const defaults = {
  description: '',
  enabled: true,
  window_minutes: 1,
  sustained: 1,
  cooldown_ms: 600_000,
  severity: 'P1',
  where: {},
  notify: [],
  fallback: null,
} as const satisfies Partial<RuleFields>

export const MOST_WINDOW_MINUTES = 60
const MOST_SUSTAINED = 1000
const MOST_COOLDOWN_MS = 7 * 86_400_000

/** A mistake: in which field, and what. */
export interface Problem {
  field: keyof RuleFields
  text: string
}

/** The name of the metric that a rule means. */
export const metricOf = (name: string): string => (Object.hasOwn(aliases, name) ? aliases[name]! : name)

/** Everything that is wrong with a rule, in words. Its name is `checkName`'s to judge. */
export function problemsOf(rule: Omit<RuleFields, 'name'>): Problem[] {
  const problems: Problem[] = []
  const wrong = (field: Problem['field'], text: string) => void problems.push({ field, text })
  if (!metricNames.includes(rule.metric))
    wrong(
      'metric',
      `"${rule.metric}" is not a metric${didYouMean(rule.metric, [...metricNames, ...Object.keys(aliases)]) || '; gw alert rule metrics lists them'}`,
    )
  if (!operators.includes(rule.op)) wrong('op', `must be one of ${operators.join(' ')}, got "${rule.op}"`)
  if (!Number.isFinite(rule.threshold)) wrong('threshold', 'must be a number')
  if (!within(rule.window_minutes, 1, MOST_WINDOW_MINUTES))
    wrong('window_minutes', `must be whole minutes from 1m to ${MOST_WINDOW_MINUTES}m, such as 5m`)
  if (!within(rule.sustained, 1, MOST_SUSTAINED))
    wrong('sustained', `must be a whole number of evaluations from 1 to ${MOST_SUSTAINED}`)
  if (!within(rule.cooldown_ms, 0, MOST_COOLDOWN_MS))
    wrong('cooldown_ms', `must be a duration from 0s to ${formatDuration(MOST_COOLDOWN_MS)}`)
  if (!severities.includes(rule.severity))
    wrong('severity', `must be one of ${severities.join(' ')}, got "${rule.severity}"`)
  if (rule.description.length > 1000) wrong('description', 'must be at most 1000 characters')
  for (const [name, value] of Object.entries(rule.where)) {
    const text = filterProblem(name, value, rule.metric)
    if (text !== undefined) wrong('where', text)
  }
  return problems
}

function filterProblem(name: string, value: string, metric: string): string | undefined {
  const known = metricNames.includes(metric) ? metrics[metric] : undefined
  if (!filterNames.includes(name as FilterName))
    return `cannot be narrowed by "${name}"${didYouMean(name, filterNames) || `; it can by ${filterNames.join(', ')}`}`
  if (known && !known.filters.includes(name as FilterName))
    return `${metric} cannot be narrowed by ${name}, only by ${known.filters.join(', ')}`
  if (value === '') return `${name} must be a name, or * for each by itself`
  if (name === 'platform' && value !== '*' && !platforms.some(one => one === value))
    return `"${value}" is not a platform${didYouMean(value, platforms) || `; there are ${platforms.join(', ')}`}`
  return undefined
}

const within = (value: number, least: number, most: number) =>
  Number.isInteger(value) && value >= least && value <= most

/** The filters that make a dimension of each of their values, in the order in which a dimension names them. */
export const dimensionsOf = (where: Filters): FilterName[] => filterNames.filter(name => where[name] === '*')

/** `platform=openai,account=a7`; '' for a rule without `*`. */
export function dimensionOf(names: readonly FilterName[], values: readonly string[]): string {
  return names.map((name, i) => `${name}=${values[i]}`).join(',')
}

/** `error_rate > 5 over 5m, 2 in a row` */
export function conditionOf(
  rule: Pick<RuleFields, 'metric' | 'op' | 'threshold' | 'window_minutes' | 'sustained' | 'where'>,
) {
  const where = Object.entries(rule.where).map(([name, value]) => `${name}=${value}`)
  return [
    `${rule.metric}${where.length > 0 ? `{${where.join(',')}}` : ''} ${rule.op} ${rule.threshold} over ${rule.window_minutes}m`,
    ...(rule.sustained > 1 ? [`${rule.sustained} in a row`] : []),
  ].join(', ')
}

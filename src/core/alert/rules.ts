// The rules as rows: read, added, changed and taken away; what fires of a rule that is no more what it was ends with it.
import type { Selectable } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { AlertRulesTable } from '../../db/schema-watch.ts'
import { Refusal } from '../../lib/refusal.ts'
import { checkName, pick, unique } from '../record/named.ts'
import { endEventsOf } from './event.ts'
import type { Operator } from './metrics.ts'
import { metricOf, problemsOf, type Rule, type RuleFields } from './rule.ts'

export type RuleChange = Partial<RuleFields>

/** Under the name of its condition: a change of any of them makes it another rule, and what fires of the old one is over. */
const condition: readonly (keyof RuleFields)[] = [
  'metric',
  'op',
  'threshold',
  'window_minutes',
  'sustained',
  'severity',
  'where',
]

export function ruleOf(row: Selectable<AlertRulesTable>): Rule {
  const { id, name, description, source, enabled, metric, op, cooldown_ms, filters, ...rest } = row
  return {
    id,
    name,
    description,
    source,
    enabled,
    metric,
    op: op as Operator,
    ...rest,
    cooldown_ms: Number(cooldown_ms),
    where: filters,
  }
}

/** The columns of what is given of a rule. */
function columns(fields: RuleChange) {
  const { cooldown_ms, where, ...rest } = fields
  return {
    ...rest,
    ...(cooldown_ms === undefined ? {} : { cooldown_ms: BigInt(cooldown_ms) }),
    ...(where === undefined ? {} : { filters: JSON.stringify(where) }),
  }
}

/** By name. */
export async function listRules(db: Db): Promise<Rule[]> {
  return (await db.selectFrom('alert_rules').selectAll().orderBy('name').execute()).map(ruleOf)
}

/** All of them, by name, with their rows locked in the order in which evaluation locks them. */
export async function lockRules(tx: Db): Promise<Map<string, Rule>> {
  const rows = await tx.selectFrom('alert_rules').selectAll().orderBy('id').forUpdate().execute()
  return new Map(rows.map(row => [row.name, ruleOf(row)]))
}

/** @throws Refusal `missing`, with the nearest name there is */
export async function findRule(db: Db, ref: string): Promise<Rule> {
  return pick('alert rule', await listRules(db), ref)
}

/** @throws Refusal `conflict` when the name is taken, `usage` for what cannot be a rule */
export async function addRule(tx: Db, fields: RuleFields, source: Rule['source'] = 'operator'): Promise<Rule> {
  checkName('alert rule', fields.name)
  const sound = { ...fields, metric: metricOf(fields.metric) }
  check(sound)
  const row = {
    ...columns(sound),
    metric: sound.metric,
    name: sound.name,
    op: sound.op,
    threshold: sound.threshold,
    source,
  }
  return ruleOf(
    await unique(
      'alert rule',
      fields.name,
      tx.insertInto('alert_rules').values(row).returningAll().executeTakeFirstOrThrow(),
    ),
  )
}

/** As an operator does it: what is set of a shipped rule stands whatever a later gw ships. @throws Refusal `missing`, `conflict`, `usage` */
export async function setRule(tx: Db, ref: string, change: RuleChange): Promise<Rule> {
  const rule = await lockRule(tx, ref)
  const fields = Object.keys(change)
  if (rule.source === 'file' && fields.some(field => field !== 'enabled'))
    throw new Refusal(
      'conflict',
      `alert rule "${rule.name}" is of alerts.file; change it there and start gw again (enable and disable work here, too)`,
    )
  if (rule.source === 'shipped' && change.name !== undefined && change.name !== rule.name)
    throw new Refusal(
      'conflict',
      `alert rule "${rule.name}" comes with gw, which knows it by its name; disable it and add one of yours`,
    )
  const overridden = rule.source === 'operator' ? [] : [...new Set([...rule.overridden, ...fields])].sort()
  return changeRule(tx, rule, change, overridden)
}

/** The change itself, of a rule whose row is locked. */
export async function changeRule(
  tx: Db,
  rule: Rule,
  change: RuleChange,
  overridden: string[],
  source: Rule['source'] = rule.source,
): Promise<Rule> {
  if (change.name !== undefined) checkName('alert rule', change.name)
  const sound = { ...change, ...(change.metric === undefined ? {} : { metric: metricOf(change.metric) }) }
  const after = { ...rule, ...sound }
  check(after)
  if (!after.enabled && rule.enabled) await over(tx, rule, 'the rule was disabled')
  else if (condition.some(field => !same(rule[field], after[field]))) await over(tx, rule, 'the rule was changed')
  const row = await unique(
    'alert rule',
    after.name,
    tx
      .updateTable('alert_rules')
      .set({ ...columns(sound), overridden, source, updated_at: new Date() })
      .where('id', '=', rule.id)
      .returningAll()
      .executeTakeFirstOrThrow(),
  )
  return ruleOf(row)
}

/** @throws Refusal `missing`, `conflict` for one that would come back at the next start */
export async function removeRule(tx: Db, ref: string): Promise<Rule> {
  const rule = await lockRule(tx, ref)
  if (rule.source === 'shipped')
    throw new Refusal(
      'conflict',
      `alert rule "${rule.name}" comes with gw, and would be back at its next start: gw alert rule disable ${rule.name}`,
    )
  if (rule.source === 'file')
    throw new Refusal('conflict', `alert rule "${rule.name}" is of alerts.file; take it out there and start gw again`)
  await dropRule(tx, rule)
  return rule
}

/** Takes a rule away whose row is locked; its events stay, and what fires is over. */
export async function dropRule(tx: Db, rule: Rule): Promise<void> {
  await over(tx, rule, 'the rule was removed')
  await tx.deleteFrom('alert_rules').where('id', '=', rule.id).execute()
}

/** The row, so that no evaluation is between what is read and what is written. */
async function lockRule(tx: Db, ref: string): Promise<Rule> {
  const { id } = await findRule(tx, ref)
  const row = await tx.selectFrom('alert_rules').selectAll().where('id', '=', id).forUpdate().executeTakeFirst()
  if (row) return ruleOf(row)
  throw new Refusal('missing', `alert rule "${ref}" was removed meanwhile`)
}

async function over(tx: Db, rule: Rule, why: string): Promise<void> {
  await endEventsOf(tx, rule, why)
  await tx.deleteFrom('alert_states').where('rule_id', '=', rule.id).execute()
}

function check(rule: RuleFields): void {
  const [first] = problemsOf(rule)
  if (first) throw new Refusal('usage', `alert rule "${rule.name}": ${optionOf(first.field)} ${first.text}`)
}

const optionOf = (field: string): string =>
  ({ window_minutes: '--window', cooldown_ms: '--cooldown' })[field] ?? `--${field}`

/** Of two values of a field; the order of filters means nothing. */
export function same(a: unknown, b: unknown): boolean {
  const sorted = (value: unknown) =>
    value !== null && typeof value === 'object' && !Array.isArray(value) ? Object.entries(value).sort() : value
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b))
}

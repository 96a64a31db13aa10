// What evaluation last found of each rule, as it is shown; and whether what a rule names is there.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import { Refusal } from '../../lib/refusal.ts'
import { didYouMean } from '../../lib/suggest.ts'
import { dimensionsOf, type Rule, type RuleFields } from './rule.ts'

/** Of one dimension of a rule. */
export interface Evaluated {
  dimension: string
  /** the last boundary that was evaluated */
  at: Date
  /** null: there was nothing to be measured */
  value: number | null
  /** in a row */
  breaches: number
  firing: boolean
  missed: number
  missed_at: Date | null
}

/** By rule; of a rule with `*` that of dimension '' is its clock, with what was missed. */
export async function evaluated(db: Db): Promise<Map<number, Evaluated[]>> {
  const rows = await db
    .selectFrom('alert_states as s')
    .select(['s.rule_id', 's.dimension', 's.boundary as at', 's.value', 's.breaches', 's.missed', 's.missed_at'])
    .select(
      sql<boolean>`exists (select from alert_events e where e.rule_id = s.rule_id and e.dimension = s.dimension and e.status = 'firing')`.as(
        'firing',
      ),
    )
    .orderBy('s.rule_id')
    .orderBy('s.dimension')
    .execute()
  const byRule = Map.groupBy(rows, row => row.rule_id)
  return new Map([...byRule].map(([rule, states]) => [rule, states.map(({ rule_id, ...state }) => state)]))
}

/** The states of a rule's dimensions apart from its clock, which counts what was missed. */
export function statesOf(
  rule: Pick<Rule, 'id' | 'where'>,
  byRule: ReadonlyMap<number, readonly Evaluated[]>,
): { states: Evaluated[]; missed: number; missed_at: Date | null } {
  const all = byRule.get(rule.id) ?? []
  const clock = all.find(state => state.dimension === '')
  const states = dimensionsOf(rule.where).length > 0 ? all.filter(state => state !== clock) : [...all]
  return { states, missed: clock?.missed ?? 0, missed_at: clock?.missed_at ?? null }
}

/** Evaluations that nobody was there for, of enabled rules that missed one within a day: what is long over is nobody's news. */
export async function missedEvaluations(db: Db): Promise<{ rules: number; evaluations: number; at: Date | null }> {
  return db
    .selectFrom('alert_states as s')
    .innerJoin('alert_rules as r', 'r.id', 's.rule_id')
    .select([
      sql<number>`count(*)::int`.as('rules'),
      sql<number>`coalesce(sum(s.missed), 0)::int`.as('evaluations'),
      sql<Date | null>`max(s.missed_at)`.as('at'),
    ])
    .where('r.enabled', '=', true)
    .where('s.missed_at', '>', sql<Date>`now() - interval '1 day'`)
    .executeTakeFirstOrThrow()
}

/**
 * That the groups, accounts and channels which a rule names are there: one that is misspelt would never fire, or tell nobody.
 * @param at where it stands, for the message: `alerts.yaml:4:9 `
 * @throws Refusal `missing`
 */
export async function checkNames(
  db: Db,
  { where = {}, notify = [], fallback }: Partial<RuleFields>,
  at = '',
): Promise<void> {
  const named = [
    ['group', 'groups', [where.group ?? '*']],
    ['account', 'accounts', [where.account ?? '*']],
  ] as const
  for (const [noun, table, [name]] of named) {
    if (name === '*') continue
    const rows = await db.selectFrom(table).select('name').where('deleted_at', 'is', null).execute()
    known(
      noun,
      name,
      rows.map(row => row.name),
      at,
    )
  }
  const channels = [...notify, ...(fallback ? [fallback] : [])]
  if (channels.length === 0) return
  const rows = await db.selectFrom('alert_channels').select('name').execute()
  for (const name of channels)
    known(
      'alert channel',
      name,
      rows.map(row => row.name),
      at,
    )
}

/** The channels that rules name and that are not there: what is to be told in them is told in the fallback, or nowhere. */
export async function absentChannels(
  db: Db,
  rules: readonly RuleFields[],
): Promise<{ rule: string; channel: string }[]> {
  const rows = await db.selectFrom('alert_channels').select('name').execute()
  const names = new Set(rows.map(row => row.name))
  return rules.flatMap(({ name: rule, notify, fallback }) =>
    [...notify, ...(fallback === null ? [] : [fallback])]
      .filter(channel => !names.has(channel))
      .map(channel => ({ rule, channel })),
  )
}

function known(noun: string, name: string, names: readonly string[], at: string): void {
  if (!names.includes(name))
    throw new Refusal('missing', `${at}no ${noun} "${name}"${didYouMean(name, names)} (gw ${noun} list shows them)`)
}

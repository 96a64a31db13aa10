// Silences: for how long nothing is told of a rule or a severity.
import { type Selectable, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { AlertSilencesTable, Severity } from '../../db/schema-watch.ts'
import { Refusal } from '../../lib/refusal.ts'
import { findRule } from './rules.ts'

type Row = Selectable<AlertSilencesTable>

export interface Silence extends Omit<Row, 'rule_id'> {
  /** by name; null: any */
  rule: string | null
}

/** Those that hold now, and with `all` those that are over, too; the one that ends last first. */
export function listSilences(db: Db, { all = false, id }: { all?: boolean; id?: number } = {}): Promise<Silence[]> {
  return db
    .selectFrom('alert_silences as s')
    .leftJoin('alert_rules as r', 'r.id', 's.rule_id')
    .select(['s.id', 'r.name as rule', 's.severity', 's.until', 's.created_by', 's.note', 's.created_at'])
    .$if(!all && id === undefined, q => q.where('s.until', '>', sql<Date>`now()`))
    .$if(id !== undefined, q => q.where('s.id', '=', id!))
    .orderBy('s.until', 'desc')
    .orderBy('s.id', 'desc')
    .execute()
}

export async function addSilence(
  db: Db,
  silence: {
    rule?: string | undefined
    severity?: Severity | undefined
    until: Date
    by: string
    note?: string | undefined
  },
): Promise<Silence> {
  const { rule, severity = null, until, by, note = null } = silence
  const rule_id = rule === undefined ? null : (await findRule(db, rule)).id
  const { id } = await db
    .insertInto('alert_silences')
    .values({ rule_id, severity, until, created_by: by, note })
    .returning('id')
    .executeTakeFirstOrThrow()
  return (await listSilences(db, { id }))[0]!
}

/** Ends one now; it stays in the list of all. @throws Refusal `missing`, `conflict` when it is over */
export async function endSilence(db: Db, id: number): Promise<Silence> {
  const [silence] = await listSilences(db, { id })
  if (!silence) throw new Refusal('missing', `no silence ${id} (gw alert silences shows them)`)
  if (silence.until.getTime() <= Date.now())
    throw new Refusal('conflict', `silence ${id} is over already, since ${silence.until.toISOString()}`)
  await db.updateTable('alert_silences').set({ until: sql<Date>`now()` }).where('id', '=', id).execute()
  return (await listSilences(db, { id }))[0]!
}

/** Whether events of a rule are silenced now, by Postgres' clock. */
export async function isSilenced(db: Db, rule: { id: number; severity: Severity }): Promise<boolean> {
  const found = await db
    .selectFrom('alert_silences')
    .select('id')
    .where('until', '>', sql<Date>`now()`)
    // One of the future was made before the clock was set back, and would hold for as much longer.
    .where('created_at', '<=', sql<Date>`now()`)
    .where(eb => eb.or([eb('rule_id', 'is', null), eb('rule_id', '=', rule.id)]))
    .where(eb => eb.or([eb('severity', 'is', null), eb('severity', '=', rule.severity)]))
    .limit(1)
    .executeTakeFirst()
  return found !== undefined
}

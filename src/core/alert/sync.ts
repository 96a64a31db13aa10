// Rules of files become rows: those that gw ships and those of `alerts.file` at every start, an operator's when they are imported.
import { type Kysely, sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { Tables } from '../../db/schema.ts'
import type { RuleFile } from './read-file.ts'
import type { Rule, RuleFields } from './rule.ts'
import { addRule, changeRule, dropRule, lockRules, same } from './rules.ts'

/** What became of one rule. */
export interface Synced {
  rule: string
  /** taken: a rule of an operator's own has that name; kept: gone from what gw ships, but an operator had made it theirs */
  change: 'added' | 'changed' | 'removed' | 'same' | 'taken' | 'kept'
  source: Exclude<Rule['source'], 'operator'>
}

const LOCK = 0x6777_0011

/**
 * Makes the rows of `shipped` and `file` what the files say: new rules are added, those that went are removed, and what an
 * operator set of a shipped one stands. A name that an operator's own rule has stays that rule's; of the two files
 * `alerts.file` goes before. Of several processes that start at once one does it after the other.
 */
export function syncFiles(db: Kysely<Tables>, files: { shipped: RuleFile; file: RuleFile }): Promise<Synced[]> {
  return db.transaction().execute(async tx => {
    await sql`select pg_advisory_xact_lock(${LOCK})`.execute(tx)
    const own = new Set(files.file.rules.map(rule => rule.fields.name))
    const wanted = [
      ...files.file.rules.map(({ fields }) => ({ fields, source: 'file' as const })),
      ...files.shipped.rules.flatMap(({ fields }) =>
        own.has(fields.name) ? [] : [{ fields, source: 'shipped' as const }],
      ),
    ]
    const rows = await lockRules(tx)
    const done: Synced[] = []
    for (const { fields, source } of wanted) {
      done.push(await put(tx, rows.get(fields.name), fields, source))
      rows.delete(fields.name)
    }
    for (const rule of rows.values()) {
      if (rule.source === 'operator') continue
      const theirs = rule.source === 'shipped' && rule.enabled && rule.overridden.length > 0
      if (theirs) await changeRule(tx, rule, {}, [], 'operator')
      else await dropRule(tx, rule)
      done.push({ rule: rule.name, change: theirs ? 'kept' : 'removed', source: rule.source })
    }
    return done
  })
}

async function put(tx: Db, there: Rule | undefined, fields: RuleFields, source: Synced['source']): Promise<Synced> {
  const of = { rule: fields.name, source }
  if (there === undefined) {
    await addRule(tx, fields, source)
    return { ...of, change: 'added' }
  }
  if (there.source === 'operator') return { ...of, change: 'taken' }
  // What was set over one file's rule was not meant for another's.
  const overridden = there.source === source ? there.overridden : []
  const change = differences(there, fields, overridden)
  if (Object.keys(change).length === 0 && there.source === source) return { ...of, change: 'same' }
  await changeRule(tx, there, change, overridden, source)
  return { ...of, change: 'changed' }
}

function differences(there: Rule, fields: RuleFields, except: readonly string[] = []): Partial<RuleFields> {
  const changed = Object.entries(fields).filter(
    ([field, value]) => !except.includes(field) && !same(there[field as keyof RuleFields], value),
  )
  return Object.fromEntries(changed)
}

/** Rules of a file as an operator's own: those of the same name become what the file says, the others stay as they are. */
export async function importRules(
  tx: Db,
  file: RuleFile,
): Promise<{ rule: Rule; change: 'added' | 'changed' | 'same' }[]> {
  const rows = await lockRules(tx)
  const done: { rule: Rule; change: 'added' | 'changed' | 'same' }[] = []
  for (const { fields } of file.rules) {
    const there = rows.get(fields.name)
    if (there === undefined) done.push({ rule: await addRule(tx, fields), change: 'added' })
    else {
      const change = differences(there, fields)
      if (there.source === 'operator' && Object.keys(change).length === 0) done.push({ rule: there, change: 'same' })
      else done.push({ rule: await changeRule(tx, there, change, [], 'operator'), change: 'changed' })
    }
  }
  return done
}

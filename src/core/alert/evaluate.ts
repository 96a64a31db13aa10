// Evaluates every rule at a boundary, each in a transaction that holds its row: whoever comes second finds it done.

import type { Selectable } from 'kysely'
import { type Kysely, sql, type Transaction } from 'kysely'
import type { Tables } from '../../db/schema.ts'
import type { AlertStatesTable } from '../../db/schema-watch.ts'
import { type EventRow, fire, recovered, resolve, tell } from './event.ts'
import { measure } from './measure.ts'
import { dimensionsOf, type Rule } from './rule.ts'
import { ruleOf, same } from './rules.ts'
import { isSilenced } from './silence.ts'
import { IDLE_MS, type Memory, nothingKnown, step, worthKeeping } from './state.ts'

/** One that began or ended. */
export interface Turn {
  id: number
  rule: string
  dimension: string
  severity: string
  silenced: boolean
  act: 'firing' | 'resolved'
  title: string
}

export interface Evaluation {
  /** Postgres' clock, Unix ms */
  now: number
  /** Unix ms: what was evaluated, or had been already */
  boundary: number
  /** how many rules were evaluated here */
  rules: number
  turns: Turn[]
  /** rules with evaluations before this one that nobody was there for */
  missed: { rule: string; evaluations: number }[]
  failed: { rule: string; error: Error }[]
}

export interface Rhythm {
  /** boundaries are its multiples */
  intervalMs: number
  /** how long after a boundary it is evaluated, so that the rows of all processes are there */
  lagMs: number
  /** Postgres' own clock when it is not given; Unix ms */
  now?: number
}

/**
 * By Postgres' clock, on which all processes agree: a process whose own is wrong moves no boundary.
 * Rules that another process has evaluated at this boundary, or a later one, are left as they are.
 */
export async function evaluate(db: Kysely<Tables>, rhythm: Rhythm): Promise<Evaluation> {
  const now = rhythm.now ?? (await clockOf(db))
  const boundary = boundaryAt(now, rhythm)
  const moment = { boundary, now, intervalMs: rhythm.intervalMs }
  const done: Evaluation = { now, boundary, rules: 0, turns: [], missed: [], failed: [] }
  // Measured before anything is locked: what is there of a window that is over does not change.
  const measured: Measurement[] = []
  const readings = new Map()
  for (const rule of await due(db, boundary, now)) {
    try {
      measured.push({ rule, values: await measure(db, rule, moment, readings) })
    } catch (error) {
      done.failed.push({ rule: rule.name, error: error as Error })
    }
  }
  if (measured.length === 0) return done
  try {
    take(done, await inOne(db, measured, moment))
  } catch {
    // One that cannot be evaluated keeps no other from it.
    for (const one of measured) {
      try {
        take(done, await inOne(db, [one], moment))
      } catch (error) {
        done.failed.push({ rule: one.rule.name, error: error as Error })
      }
    }
  }
  return done
}

/** Postgres' clock, Unix ms. */
export async function clockOf(db: Kysely<Tables>): Promise<number> {
  const now = sql<{ now: number }>`select (extract(epoch from clock_timestamp()) * 1000)::float8 as now`
  return (await now.execute(db)).rows[0]!.now
}

interface Measurement {
  rule: Rule
  values: ReadonlyMap<string, number>
}

interface Moment {
  boundary: number
  now: number
  intervalMs: number
}

type Part = Pick<Evaluation, 'rules' | 'turns' | 'missed'>

function take(whole: Evaluation, part: Part): void {
  whole.rules += part.rules
  whole.turns.push(...part.turns)
  whole.missed.push(...part.missed)
}

/** The last boundary that is over by at least the lag. */
export const boundaryAt = (now: number, { intervalMs, lagMs }: Rhythm): number =>
  Math.floor((now - lagMs) / intervalMs) * intervalMs

async function due(db: Kysely<Tables>, boundary: number, now: number): Promise<Rule[]> {
  const rows = await db
    .selectFrom('alert_rules as r')
    .leftJoin('alert_states as s', join => join.onRef('s.rule_id', '=', 'r.id').on('s.dimension', '=', ''))
    .selectAll('r')
    .where('r.enabled', '=', true)
    .where(eb =>
      eb.or([
        eb('s.boundary', 'is', null),
        eb('s.boundary', '<', new Date(boundary)),
        eb('s.boundary', '>', new Date(now + ASTRAY_MS)),
      ]),
    )
    .orderBy('r.id')
    .execute()
  return rows.map(ruleOf)
}

// A clock that is set back by less is waited for: nothing is evaluated twice.
const ASTRAY_MS = 5 * 60_000

type State = Selectable<AlertStatesTable>

/** Steps rules on in one transaction, which holds their rows: whoever comes second waits, and finds it done. */
function inOne(db: Kysely<Tables>, measured: readonly Measurement[], moment: Moment): Promise<Part> {
  return db.transaction().execute(async tx => {
    // A process that stands still in the middle must not keep the others from it for ever.
    await sql`select set_config('idle_in_transaction_session_timeout', '30s', true), set_config('lock_timeout', '30s', true)`.execute(
      tx,
    )
    const ids = measured.map(({ rule }) => rule.id)
    const rows = await tx
      .selectFrom('alert_rules')
      .selectAll()
      .where('id', 'in', ids)
      .where('enabled', '=', true)
      .orderBy('id')
      .forNoKeyUpdate()
      .execute()
    const rules = new Map(rows.map(row => [row.id, ruleOf(row)]))
    const states = await tx.selectFrom('alert_states').selectAll().where('rule_id', 'in', ids).execute()
    const open = await tx
      .selectFrom('alert_events')
      .selectAll()
      .where('rule_id', 'in', ids)
      .where('status', '=', 'firing')
      .execute()
    const part: Part = { rules: 0, turns: [], missed: [] }
    const writes: Writes = { keep: [], forget: [] }
    for (const { rule: before, values } of measured) {
      const rule = rules.get(before.id)
      // Changed since it was measured: it begins anew at the next boundary.
      if (rule === undefined || !same(measurable(rule), measurable(before))) continue
      const known = states.filter(state => state.rule_id === rule.id)
      const events = open.filter(event => event.rule_id === rule.id)
      const missed = await stepOn(tx, rule, { values, known, events, moment, turns: part.turns, writes })
      if (missed === undefined) continue
      part.rules++
      if (missed > 0) part.missed.push({ rule: rule.name, evaluations: missed })
    }
    await remember(tx, writes, moment.boundary)
    return part
  })
}

const measurable = ({ metric, window_minutes, where }: Rule) => [metric, window_minutes, Object.entries(where).sort()]

/** @returns how many evaluations were missed before this one, undefined when another process has done it */
async function stepOn(
  tx: Transaction<Tables>,
  rule: Rule,
  {
    values,
    known,
    events: open,
    moment: { boundary, now, intervalMs },
    turns,
    writes,
  }: {
    values: ReadonlyMap<string, number>
    known: readonly State[]
    events: readonly EventRow[]
    moment: Moment
    turns: Turn[]
    writes: Writes
  },
): Promise<number | undefined> {
  const states = new Map(known.map(state => [state.dimension, state]))
  const before = states.get('')?.boundary.getTime()
  // What lies so far ahead was written when Postgres' clock was wrong: it would stop everything until then.
  const astray = before !== undefined && before > now + ASTRAY_MS
  if (before !== undefined && before >= boundary && !astray) return undefined
  const missed = before === undefined || astray ? 0 : Math.max(0, Math.ceil((boundary - before) / intervalMs) - 1)

  const events = new Map(open.map(event => [event.dimension, event]))
  const starred = dimensionsOf(rule.where).length > 0
  const dimensions = starred
    ? new Set([...values.keys(), ...events.keys(), ...[...states.keys()].filter(name => name !== '')])
    : ['']
  let quiet: Promise<boolean> | undefined
  const isQuiet = () => (quiet ??= isSilenced(tx, rule))
  const terms = {
    op: rule.op,
    threshold: rule.threshold,
    sustained: rule.sustained,
    cooldownMs: rule.cooldown_ms,
  }
  const at = new Date(boundary)
  for (const dimension of dimensions) {
    const event = events.get(dimension)
    const value = values.get(dimension)
    const seen = { at: boundary, value, firing: event !== undefined, gap: missed > 0 || astray }
    const { memory, act } = step(terms, memoryOf(states.get(dimension), astray), seen)
    if (act === 'fire')
      turns.push(turn('firing', await fire(tx, rule, { dimension, value: value!, at, silenced: await isQuiet() })))
    else if (act !== undefined && event) {
      const why = act === 'idle' ? idle(rule) : recovered(event, value!)
      turns.push(turn('resolved', await resolve(tx, event, rule, { at, why, value })))
    } else if (event && value !== undefined) await goesOn(tx, rule, event, value, isQuiet)
    const firing = act === 'fire' || (event !== undefined && act === undefined)
    if (starred && !worthKeeping(memory, terms, firing, boundary)) {
      if (states.has(dimension)) writes.forget.push({ rule: rule.id, dimension })
    } else writes.keep.push({ rule: rule.id, dimension, ...memory, value, missed: starred ? 0 : missed })
  }
  if (starred) writes.keep.push({ rule: rule.id, dimension: '', ...nothingKnown, value: undefined, missed })
  return missed
}

const idle = (rule: Rule) => `${rule.metric} has had nothing to measure for ${IDLE_MS / 60_000} minutes`

/** Times that lie ahead of the clock are of one that was wrong. */
function memoryOf(state: State | undefined, astray: boolean): Memory {
  if (state === undefined || astray) return nothingKnown
  return {
    breaches: state.breaches,
    idleSince: state.idle_since?.getTime() ?? null,
    firedAt: state.fired_at?.getTime() ?? null,
  }
}

/** It fires on: its value is kept up to date, and when its silence is over it is told after all. */
async function goesOn(
  tx: Transaction<Tables>,
  rule: Rule,
  event: EventRow,
  value: number,
  isQuiet: () => Promise<boolean>,
): Promise<void> {
  const heard = event.silenced && !(await isQuiet())
  if (!heard && event.last_value === value) return
  await tx
    .updateTable('alert_events')
    .set({ last_value: value, ...(heard ? { silenced: false } : {}) })
    .where('id', '=', event.id)
    .execute()
  if (heard) await tell(tx, { ...event, silenced: false }, rule)
}

interface Writes {
  keep: (Memory & { rule: number; dimension: string; value: number | undefined; missed: number })[]
  forget: { rule: number; dimension: string }[]
}

async function remember(tx: Transaction<Tables>, { keep, forget }: Writes, boundary: number): Promise<void> {
  const at = new Date(boundary)
  if (forget.length > 0)
    await sql`delete from alert_states s
      using unnest(${forget.map(({ rule }) => rule)}::int[], ${forget.map(({ dimension }) => dimension)}::text[]) as gone (rule_id, dimension)
      where s.rule_id = gone.rule_id and s.dimension = gone.dimension`.execute(tx)
  // A statement takes 65 535 values, and a rule by model may have a thousand dimensions.
  for (let i = 0; i < keep.length; i += MOST_STATES) await rememberAll(tx, keep.slice(i, i + MOST_STATES), at)
}

const MOST_STATES = 5_000

async function rememberAll(tx: Transaction<Tables>, states: Writes['keep'], at: Date): Promise<void> {
  await tx
    .insertInto('alert_states')
    .values(
      states.map(({ rule, dimension, breaches, idleSince, firedAt, value, missed }) => ({
        rule_id: rule,
        dimension,
        boundary: at,
        breaches,
        value: value ?? null,
        idle_since: idleSince === null ? null : new Date(idleSince),
        fired_at: firedAt === null ? null : new Date(firedAt),
        missed,
        missed_at: missed > 0 ? at : null,
      })),
    )
    .onConflict(conflict =>
      conflict.columns(['rule_id', 'dimension']).doUpdateSet({
        boundary: eb => eb.ref('excluded.boundary'),
        breaches: eb => eb.ref('excluded.breaches'),
        value: eb => eb.ref('excluded.value'),
        idle_since: eb => eb.ref('excluded.idle_since'),
        fired_at: eb => eb.ref('excluded.fired_at'),
        missed: sql<number>`alert_states.missed + excluded.missed`,
        missed_at: sql<Date | null>`coalesce(excluded.missed_at, alert_states.missed_at)`,
      }),
    )
    .execute()
}

const turn = (act: Turn['act'], { id, rule, dimension, severity, silenced, title }: EventRow): Turn => {
  return { id, rule, dimension, severity, silenced, act, title }
}

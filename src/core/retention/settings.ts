// How long an operator has set each to be kept, over the settings, and how the last run went.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import { Refusal } from '../../lib/refusal.ts'
import { didYouMean } from '../../lib/suggest.ts'
import { formatDuration } from '../../lib/units.ts'
import { type Keep, type KeptName, kept, keptNames } from './kept.ts'

export interface Retention {
  name: KeptName
  what: string
  /** `90d`; `for ever` */
  keep: string
  /** 0 is for ever */
  keep_ms: number
  /** whether an operator set it, or the settings say so */
  source: 'set' | 'settings'
  /** on disk, with indexes */
  bytes: number
  /** the beginning of the oldest partition; of alerts, when the oldest fired; null: there is nothing */
  oldest: Date | null
  last_run_at: Date | null
  /** partitions that the last run dropped that dropped any */
  last_dropped: string[]
  last_dropped_at: Date | null
  last_error: string | null
}

const DAY = 86_400_000
const LONGEST = 36_500 * DAY

/** @param keep as the settings say */
export async function listRetention(db: Db, keep: Keep): Promise<Retention[]> {
  const rows = new Map((await db.selectFrom('retention').selectAll().execute()).map(row => [row.name, row]))
  const held = await sizes(db)
  return keptNames.map(name => {
    const row = rows.get(name)
    const set = row?.keep_ms ?? null
    const keep_ms = set === null ? keep[name] : Number(set)
    return {
      name,
      what: kept[name].what,
      keep: keep_ms === 0 ? 'for ever' : formatDuration(keep_ms),
      keep_ms,
      source: set === null ? ('settings' as const) : ('set' as const),
      bytes: held.get(name)?.bytes ?? 0,
      oldest: held.get(name)?.oldest ?? null,
      last_run_at: row?.last_run_at ?? null,
      last_dropped: row?.last_dropped ?? [],
      last_dropped_at: row?.last_dropped_at ?? null,
      last_error: row?.last_error ?? null,
    }
  })
}

async function sizes(db: Db): Promise<Map<KeptName, { bytes: number; oldest: Date | null }>> {
  const { rows } = await sql<{ parent: string; bytes: number; oldest: Date | null }>`
    select p.relname as parent, sum(pg_total_relation_size(c.oid))::float8 as bytes,
      min(substring(pg_get_expr(c.relpartbound, c.oid) from $$FROM \\('([^']+)'\\)$$)::timestamptz) as oldest
    from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
    where p.relkind = 'p' group by 1
    union all
    select 'alerts', (pg_total_relation_size('alert_events') + pg_total_relation_size('alert_deliveries'))::float8,
      (select min(fired_at) from alert_events)`.execute(db)
  const all = new Map<KeptName, { bytes: number; oldest: Date | null }>()
  for (const name of keptNames) {
    const own = rows.filter(row => row.parent === name || (kept[name].tables as readonly string[]).includes(row.parent))
    const times = own.flatMap(({ oldest }) => (oldest === null ? [] : [oldest.getTime()]))
    all.set(name, {
      bytes: own.reduce((sum, row) => sum + row.bytes, 0),
      oldest: times.length === 0 ? null : new Date(Math.min(...times)),
    })
  }
  return all
}

/**
 * Keeps `name` so long from the next run on; null: as the settings say.
 * @throws Refusal `missing` for a name that there is not, `usage` for a time that is too short
 */
export async function setRetention(db: Db, name: string, keepMs: number | null): Promise<void> {
  if (!(keptNames as string[]).includes(name))
    throw new Refusal(
      'missing',
      `nothing is kept as "${name}"${didYouMean(name, keptNames)}; there are ${keptNames.join(', ')}`,
    )
  if (keepMs !== null && keepMs !== 0 && (keepMs < DAY || keepMs > LONGEST))
    throw new Refusal('usage', `SPAN must be 1d to 36500d, 0s for ever, or default, got ${formatDuration(keepMs)}`)
  await db
    .insertInto('retention')
    .values({ name, keep_ms: keepMs === null ? null : BigInt(keepMs) })
    .onConflict(of => of.column('name').doUpdateSet({ keep_ms: keepMs === null ? null : BigInt(keepMs) }))
    .execute()
}

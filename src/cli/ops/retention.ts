// gw ops retention: how long what is kept, what the last run dropped, and how long it shall be kept.
import { listRetention, type Retention, setRetention } from '../../core/retention/settings.ts'
import { Refusal } from '../../lib/refusal.ts'
import { formatSize, parseDuration } from '../../lib/units.ts'
import type { Invocation } from '../command.ts'

const row = (r: Retention) => ({
  name: r.name,
  keep: r.keep,
  source: r.source,
  size: sized(r.bytes),
  oldest: r.oldest,
  'last run': r.last_run_at,
  dropped: r.last_dropped.length === 0 ? null : `${r.last_dropped.length}: … ${r.last_dropped.at(-1)}`,
  'dropped at': r.last_dropped_at,
  error: r.last_error,
  what: r.what,
})
const less = ['what', 'dropped at', 'oldest', 'size', 'dropped', 'source']

/** Rounded to what a person reads. */
function sized(bytes: number): string {
  const unit = [1024 ** 3, 1024 ** 2, 1024].find(unit => bytes >= unit) ?? 1
  return formatSize(Math.round(bytes / unit) * unit)
}

const keep = async (gw: Invocation) => (await import('../../daemon/keep.ts')).keepOf(await gw.config())

export async function list(gw: Invocation): Promise<void> {
  gw.out.list(await listRetention(await gw.db(), await keep(gw)), row, '', less)
}

export async function set(gw: Invocation, name: string, span: string): Promise<void> {
  const ms = span === 'default' ? null : parseDuration(span)
  if (ms === undefined)
    throw new Refusal(
      'usage',
      `SPAN must be a duration of days such as 90d, 0s for ever, or default, got ${JSON.stringify(span)}`,
    )
  const settings = await keep(gw)
  const one = await gw.write(async db => {
    await setRetention(db, name, ms)
    return (await listRetention(db, settings)).find(row => row.name === name)!
  })
  gw.out.record(one, row(one))
}

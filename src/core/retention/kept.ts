// What is kept for a time: each name of `gw ops retention`, its tables and how long one partition is. The ledger is for ever.

interface Kept {
  /** what it is, for people */
  what: string
  /** partitioned by their column `at`; none: rows are deleted one by one */
  tables: readonly string[]
  width: 'day' | 'month'
}

export const kept = {
  usage: { what: 'usage, a row a request', tables: ['usage'], width: 'month' },
  usage_minute: { what: 'sums of usage by minute', tables: ['usage_minute'], width: 'day' },
  usage_hour: { what: 'sums of usage by hour', tables: ['usage_hour', 'usage_pool_hour'], width: 'month' },
  usage_day: { what: 'sums of usage by day', tables: ['usage_day', 'usage_pool_day'], width: 'month' },
  watch_metrics: { what: 'metrics of processes', tables: ['watch_metrics'], width: 'day' },
  watch_cells: { what: 'counts by interval, for alert rules', tables: ['watch_cells'], width: 'day' },
  watch_minute: { what: 'figures by dimension, by minute', tables: ['watch_minute'], width: 'day' },
  watch_hour: { what: 'the same by hour', tables: ['watch_hour'], width: 'month' },
  watch_day: { what: 'the same by day', tables: ['watch_day'], width: 'month' },
  error_log: { what: 'errors', tables: ['error_log'], width: 'day' },
  alerts: { what: 'alerts that are over, and what was sent', tables: [], width: 'day' },
} as const satisfies Record<string, Kept>

export type KeptName = keyof typeof kept
export const keptNames = Object.keys(kept) as KeptName[]

/** How long each is kept, ms; 0 is for ever. */
export type Keep = Readonly<Record<KeptName, number>>

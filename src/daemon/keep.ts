// How long the settings say that each is kept.
import type { Config } from '../config/schema.ts'
import type { Keep } from '../core/retention/kept.ts'

export const keepOf = (config: Config): Keep => ({
  usage: config['usage.keep'],
  usage_minute: config['usage.keep_minutes'],
  usage_hour: config['usage.keep_hours'],
  usage_day: config['usage.keep_days'],
  watch_metrics: config['ops.metrics.keep'],
  watch_cells: config['ops.cells.keep'],
  watch_minute: config['ops.dimensions.keep_minutes'],
  watch_hour: config['ops.dimensions.keep_hours'],
  watch_day: config['ops.dimensions.keep_days'],
  error_log: config['ops.errors.keep'],
  alerts: config['alerts.keep'],
})

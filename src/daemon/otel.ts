// OpenTelemetry where it is wanted; who wants none loads nothing of it.
import type { Config } from '../config/schema.ts'
import type { Fold } from '../core/outcome.ts'
import type { Tracing } from '../core/trace.ts'
import type { Log } from '../lib/log.ts'

export interface Telemetry {
  folds: readonly Fold[]
  /** undefined: it is off */
  tracing: Tracing | undefined
  close(): Promise<void>
}

export async function otelOf(
  config: Config,
  options: { processId: string; priced: (model: string) => boolean; log: Log['log'] },
): Promise<Telemetry> {
  const endpoint = config['otel.endpoint']
  if (endpoint === undefined) return { folds: [], tracing: undefined, async close() {} }
  const { processId, priced, log } = options
  const { startOtel } = await import('../ops/otel/otel.ts')
  const otel = startOtel({
    endpoint,
    sample: config['otel.sample'],
    everyMs: config['ops.interval'],
    processId,
    known: priced,
    random: Math.random,
    log: (level, line) => log[level](line),
  })
  return { folds: [otel], tracing: otel, close: otel.close }
}

// OpenTelemetry where it is wanted; who wants none loads nothing of it.
import type { Config } from '../config/schema.ts'
import type { Log } from '../lib/log.ts'
import type { Otel } from '../ops/otel/otel.ts'

export async function otelOf(
  config: Config,
  options: { processId: string; priced: (model: string) => boolean; log: Log['log'] },
): Promise<Otel | undefined> {
  const endpoint = config['otel.endpoint']
  if (endpoint === undefined) return undefined
  const { processId, priced, log } = options
  const { startOtel } = await import('../ops/otel/otel.ts')
  return startOtel({
    endpoint,
    sample: config['otel.sample'],
    everyMs: config['ops.interval'],
    processId,
    known: priced,
    random: Math.random,
    log: (level, line) => log[level](line),
  })
}

// OpenTelemetry: spans and metrics of finished requests, sent in batches to a collector that may as well be dead.
//
// Nothing here is imported unless `otel.endpoint` is set. The conventions are those of late 2026 (open-telemetry/semantic-conventions-genai).
import { hostname } from 'node:os'
import { type ExportResult, ExportResultCode, setGlobalErrorHandler } from '@opentelemetry/core'
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { AlwaysOnSampler, BatchSpanProcessor, RandomIdGenerator, TracerProvider } from '@opentelemetry/sdk-trace'
import type { Fold } from '../../core/outcome.ts'
import type { Tracing } from '../../core/trace.ts'
import { version } from '../../lib/version.ts'
import { contexts } from './context.ts'
import { measuresOf } from './measures.ts'
import { Given, spansOf } from './spans.ts'

export interface Otel extends Fold, Tracing {
  /** Sends what is left, for no longer than a moment. */
  close(): Promise<void>
}

export interface OtelOptions {
  /** the collector, as `http://host:4318` */
  endpoint: string
  /** of a hundred requests without a context of their own, how many are traced */
  sample: number
  /** how often metrics are sent, ms */
  everyMs: number
  processId: string
  /** whether a model is one we know: the others are whatever a client sends */
  known: (model: string) => boolean
  random: () => number
  log: (level: 'info' | 'warn', line: string) => void
}

// Spans that wait are bounded, and so is what a dead collector costs: one batch in a second, and nothing is sent twice.
const WAITING = 4_096
const BATCH = 512
const DELAY_MS = 1_000
const PATIENCE_MS = 5_000
const LAST_MS = 2_000
const LONGEST_ATTRIBUTE = 256

export function startOtel(options: OtelOptions): Otel {
  const { endpoint, sample, everyMs, processId, known, random, log } = options
  const at = (signal: string) => `${endpoint.replace(/\/+$/, '')}/v1/${signal}`
  const collector = new Collector(endpoint, log)
  // What it hears are failed exports, which the collector has told of.
  setGlobalErrorHandler(() => {})
  const resource = defaultResource()
    .merge(detectResources({ detectors: [envDetector] }))
    .merge(
      resourceFromAttributes({
        'service.name': process.env['OTEL_SERVICE_NAME'] ?? 'gw',
        'service.version': version,
        'service.instance.id': processId,
        'host.name': hostname(),
      }),
    )
  const shared = { timeoutMillis: PATIENCE_MS, concurrencyLimit: 1 }
  const ids = new Given()
  const spans = new TracerProvider({
    resource,
    idGenerator: ids,
    sampler: new AlwaysOnSampler(),
    spanLimits: { attributeValueLengthLimit: LONGEST_ATTRIBUTE },
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: collector.watch(new OTLPTraceExporter({ ...shared, url: at('traces') })),
        maxQueueSize: WAITING,
        maxExportBatchSize: BATCH,
        scheduledDelayMillis: DELAY_MS,
        exportTimeoutMillis: PATIENCE_MS,
      }),
    ],
  })
  const metrics = new MeterProvider({
    resource,
    readers: [
      new PeriodicExportingMetricReader({
        exporter: collector.watch(new OTLPMetricExporter({ ...shared, url: at('metrics') })),
        exportIntervalMillis: everyMs,
        exportTimeoutMillis: Math.min(everyMs, PATIENCE_MS),
      }),
    ],
  })
  const folds = [
    spansOf(spans.getTracer('gw', version), ids, known),
    measuresOf(metrics.getMeter('gw', version), known),
  ]
  return {
    ...contexts(new RandomIdGenerator(), sample, random),
    ended(outcome) {
      for (const fold of folds) fold.ended(outcome)
    },
    async close() {
      const sent = Promise.allSettled([spans.shutdown(), metrics.shutdown()])
      const { promise: late, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, LAST_MS)
      await Promise.race([sent, late])
      clearTimeout(timer)
    },
  }
}

/** Hears what became of exports, and tells the operator once when they begin to fail and once when they work again. */
class Collector {
  #failing = false
  readonly #endpoint: string
  readonly #log: OtelOptions['log']

  constructor(endpoint: string, log: OtelOptions['log']) {
    this.#endpoint = endpoint
    this.#log = log
  }

  watch<T, E extends { export(items: T, done: (result: ExportResult) => void): void }>(exporter: E): E {
    const send = exporter.export.bind(exporter)
    exporter.export = (items, done) =>
      send(items, result => {
        this.#heard(result)
        done(result)
      })
    return exporter
  }

  #heard({ code, error }: ExportResult): void {
    const failing = code !== ExportResultCode.SUCCESS
    if (failing === this.#failing) return
    this.#failing = failing
    if (failing)
      this.#log(
        'warn',
        `otel: ${this.#endpoint} takes nothing (${error?.message || 'no answer'}); traces and metrics are dropped`,
      )
    else this.#log('info', `otel: ${this.#endpoint} takes traces and metrics again`)
  }
}

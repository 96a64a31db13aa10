// Prometheus metrics: a fold over Outcomes (names: docs/metrics.md).
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Outcome } from '../core/outcome.ts'

export interface Metrics {
  began(outcome: Outcome): void
  ended(outcome: Outcome): void
  text(): Promise<string>
  contentType: string
}

/** `priced` says whether a model is one we know: only those become label values, since the others are whatever a client sends. */
export function createMetrics(options: {
  priced: (model: string) => boolean
  inFlight: () => number
  spoolWaiting: () => number
}): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const requests = new Counter({
    name: 'gw_requests_total',
    help: 'Requests ended, by platform, status and failure code.',
    labelNames: ['platform', 'status', 'code'],
    registers,
  })
  const tokens = new Counter({
    name: 'gw_tokens_total',
    help: 'Tokens by platform, model and type.',
    labelNames: ['platform', 'model', 'type'],
    registers,
  })
  const cost = new Counter({
    name: 'gw_cost_usd_total',
    help: 'Cost at list price in USD; approximate, the ledger is exact.',
    labelNames: ['platform', 'model'],
    registers,
  })
  const attempts = new Counter({
    name: 'gw_upstream_attempts_total',
    help: 'Attempts at accounts, by account and upstream status (0: no answer).',
    labelNames: ['account', 'status'],
    registers,
  })
  const duration = new Histogram({
    name: 'gw_request_duration_seconds',
    help: 'From the first byte of a request to the last of its answer.',
    labelNames: ['platform'],
    buckets: [0.05, 0.25, 1, 3, 10, 30, 60, 120, 300, 600],
    registers,
  })
  const firstToken = new Histogram({
    name: 'gw_time_to_first_token_seconds',
    help: 'From the first byte of a request to the first frame that means something.',
    labelNames: ['platform'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120],
    registers,
  })
  const intercepted = new Counter({
    name: 'gw_intercepted_total',
    help: 'Warmup requests answered here, by account.',
    labelNames: ['account'],
    registers,
  })
  new Gauge({
    name: 'gw_requests_in_flight',
    help: 'Requests under way.',
    registers,
    collect() {
      this.set(options.inFlight())
    },
  })
  new Gauge({
    name: 'gw_spool_lines',
    help: 'Usage lines not yet in Postgres.',
    registers,
    collect() {
      this.set(options.spoolWaiting())
    },
  })
  new Gauge({
    name: 'gw_resident_memory_bytes',
    help: 'Resident memory of this process.',
    registers,
    collect() {
      this.set(process.memoryUsage.rss())
    },
  })
  return {
    began() {},
    ended(o) {
      const platform = o.platform || 'none'
      requests.inc({ platform, status: o.status, code: o.code })
      for (const attempt of o.attempts) attempts.inc({ account: attempt.account, status: attempt.status })
      if (o.intercepted && o.account !== null) intercepted.inc({ account: o.account })
      if (!o.metered) return
      duration.observe({ platform }, o.durationMs / 1000)
      if (o.firstTokenMs > 0) firstToken.observe({ platform }, o.firstTokenMs / 1000)
      const model = options.priced(o.model) ? o.model : 'other'
      const { usage } = o
      if (usage.input > 0) tokens.inc({ platform, model, type: 'input' }, usage.input)
      if (usage.output > 0) tokens.inc({ platform, model, type: 'output' }, usage.output)
      if (usage.cacheRead > 0) tokens.inc({ platform, model, type: 'cache_read' }, usage.cacheRead)
      const written = usage.cacheWrite5m + usage.cacheWrite1h
      if (written > 0) tokens.inc({ platform, model, type: 'cache_write' }, written)
      if (o.cost > 0n) cost.inc({ platform, model }, Number(o.cost) / 1e9)
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  }
}

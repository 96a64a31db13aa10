// What goes on now: requests under way, and rates as a fold over Outcomes.
import type { LiveView } from '../control/view.ts'
import type { Fold, Outcome } from '../core/outcome.ts'
import { promptTokens } from '../dialect/usage.ts'
import { Crowd } from '../lib/crowd.ts'

const WINDOW_S = 60
// What "per second" is averaged over: long enough to be steady, short enough to be now.
const RATE_S = 5
const SAMPLES = 1024

interface Second {
  at: number
  requests: number
  errors: number
  tokens: number
}

export interface Live extends Fold {
  /** requests under way, in no order */
  under(): Outcome[]
  inFlight(): number
  rates(): Pick<LiveView, 'requests_per_s' | 'tokens_per_s' | 'error_rate' | 'ttft_ms'>
}

export function createLive(now: () => number): Live {
  const ring: Second[] = Array.from({ length: WINDOW_S }, () => ({ at: 0, requests: 0, errors: 0, tokens: 0 }))
  // Times to the first token, the latest of each place: when the request began, Unix ms, and how long it took.
  const sampledAt = new Float64Array(SAMPLES)
  const sampledMs = new Float64Array(SAMPLES)
  let nextSample = 0
  const under = new Crowd<Outcome>()

  const second = (): Second => {
    const at = Math.floor(now() / 1000)
    const slot = ring[at % WINDOW_S]!
    if (slot.at !== at) Object.assign(slot, { at, requests: 0, errors: 0, tokens: 0 })
    return slot
  }
  const since = (seconds: number): Second[] => {
    const at = Math.floor(now() / 1000)
    return ring.filter(s => s.at > at - seconds && s.at <= at)
  }
  const sum = (list: Second[], field: 'requests' | 'errors' | 'tokens') =>
    list.reduce((total, s) => total + s[field], 0)

  return {
    under: () => [...under],
    inFlight: () => under.size,
    began(o) {
      under.add(o)
    },
    ended(o) {
      under.remove(o)
      const slot = second()
      slot.requests++
      if (o.status >= 500) slot.errors++
      slot.tokens += promptTokens(o.usage) + o.usage.output
      if (o.firstTokenMs > 0) {
        sampledAt[nextSample] = o.at
        sampledMs[nextSample] = o.firstTokenMs
        nextSample = (nextSample + 1) % SAMPLES
      }
    },
    rates() {
      const minute = since(WINDOW_S)
      const recent = since(RATE_S)
      const oldest = now() - WINDOW_S * 1000
      const samples = sampledMs.filter((_ms, i) => sampledAt[i]! > oldest).sort()
      const percentile = (p: number) => samples[Math.min(samples.length - 1, Math.ceil(samples.length * p) - 1)] ?? 0
      const requests = sum(minute, 'requests')
      return {
        requests_per_s: sum(recent, 'requests') / RATE_S,
        tokens_per_s: sum(recent, 'tokens') / RATE_S,
        error_rate: requests === 0 ? 0 : sum(minute, 'errors') / requests,
        ttft_ms: { p50: percentile(0.5), p95: percentile(0.95), p99: percentile(0.99) },
      }
    },
  }
}

// The live view: rates as a fold over Outcomes, slots from the store, names from the snapshot.
import os from 'node:os'
import type { AccountState, LiveView } from '../control/view.ts'
import type { Outcome } from '../core/outcome.ts'
import type { AccountFacts } from '../core/snapshot.ts'
import { accountSlot, userSlot } from '../gateway/admit.ts'
import type { Gateway } from '../gateway/gateway.ts'
import type { Fold } from '../gateway/outcomes.ts'

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
  inFlight(): number
  view(gw: Gateway): Promise<LiveView>
}

export function createLive(now: () => number): Live {
  const ring: Second[] = Array.from({ length: WINDOW_S }, () => ({ at: 0, requests: 0, errors: 0, tokens: 0 }))
  const ttft: { at: number; ms: number }[] = []
  let nextSample = 0
  let inFlight = 0

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
    began() {
      inFlight++
    },
    ended(o: Outcome) {
      inFlight--
      const slot = second()
      slot.requests++
      if (o.status >= 500) slot.errors++
      slot.tokens += o.usage.input + o.usage.output + o.usage.cacheRead + o.usage.cacheWrite5m + o.usage.cacheWrite1h
      if (o.firstTokenMs > 0) {
        ttft[nextSample] = { at: o.at, ms: o.firstTokenMs }
        nextSample = (nextSample + 1) % SAMPLES
      }
    },
    inFlight: () => inFlight,
    async view(gw) {
      const users = [...gw.snapshot.users.values()]
      const accounts = [...gw.snapshot.accounts.values()]
      const usedByUser = await gw.store.held(users.map(u => userSlot(u.id)))
      const usedByAccount = await gw.store.held(accounts.map(a => accountSlot(a.id)))
      const used = new Map(accounts.map((a, i) => [a.id, usedByAccount[i]!]))
      const minute = since(WINDOW_S)
      const recent = since(RATE_S)
      const samples = ttft
        .filter(s => s.at > now() - WINDOW_S * 1000)
        .map(s => s.ms)
        .sort((a, b) => a - b)
      const percentile = (p: number) => samples[Math.min(samples.length - 1, Math.ceil(samples.length * p) - 1)] ?? 0
      const requests = sum(minute, 'requests')
      return {
        at: new Date(now()).toISOString(),
        requests_per_s: sum(recent, 'requests') / RATE_S,
        tokens_per_s: sum(recent, 'tokens') / RATE_S,
        in_flight: inFlight,
        waiting: 0,
        error_rate: requests === 0 ? 0 : sum(minute, 'errors') / requests,
        ttft_ms: { p50: percentile(0.5), p95: percentile(0.95), p99: percentile(0.99) },
        users: users.map((u, i) => ({
          name: u.name,
          slots: { used: usedByUser[i]!, limit: Math.max(0, u.concurrency) },
          waiting: 0,
        })),
        accounts: accounts.map(a => ({
          name: a.name,
          platform: a.platform,
          groups: a.groups,
          slots: { used: used.get(a.id)!, limit: Math.max(0, a.concurrency) },
          waiting: 0,
          state: stateOf(a, used.get(a.id)!, now()),
          until: null,
          reason: a.reason,
        })),
        groups: [...gw.snapshot.groups.values()].map(g => ({
          name: g.name,
          platform: g.platform,
          slots: {
            used: g.accounts.reduce((total, a) => total + used.get(a.id)!, 0),
            limit: g.accounts.some(a => a.concurrency <= 0)
              ? 0
              : g.accounts.reduce((total, a) => total + a.concurrency, 0),
          },
          waiting: 0,
          available: g.accounts.filter(a => stateOf(a, used.get(a.id)!, now()) === 'available').length,
          accounts: g.accounts.length,
        })),
        nodes: [
          {
            name: os.hostname(),
            pid: process.pid,
            uptime_s: Math.round(process.uptime()),
            in_flight: inFlight,
            rss_bytes: process.memoryUsage.rss(),
          },
        ],
      }
    },
  }
}

function stateOf(account: AccountFacts, used: number, now: number): AccountState {
  if (account.status === 'error') return 'error'
  if (account.status === 'paused') return 'paused'
  if (account.expiresAt !== 0 && account.expiresAt <= now) return 'expired'
  return account.concurrency > 0 && used >= account.concurrency ? 'full' : 'available'
}

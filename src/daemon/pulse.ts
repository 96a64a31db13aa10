// A process's pulse: its live counts of each second, told to the other processes through the store, and what theirs are together.
import os from 'node:os'
import type { FrameRates, NodeView } from '../control/view.ts'
import { quantilesOf } from '../core/watch/merged.ts'
import { encodeSketch } from '../core/watch/sketch.ts'
import { PROCESSES, type Store } from '../store/store.ts'
import type { Counts, Live } from './live.ts'

/** How long a pulse outlives its process in the store, and how long one that stands still is believed. */
const TTL_MS = 5_000
const STILL_MS = 3_500
/** Who waits is told by user, account and group, for so many of each: it is one message among all processes each second. */
const MOST_NAMED = 200

/** How many wait, by id. */
export type WaitingBy = Record<'users' | 'accounts' | 'groups', Record<string, number>>

export interface Pulse {
  /** which process this is, among all that share the store */
  process: string
  /** one more each second */
  beat: number
  node: NodeView
  waiting: number
  waitingBy: WaitingBy
  all: Counts
  platforms: Record<string, Counts>
  per_second: { requests: number; tokens: number }
  /** times to the first token, as `encodeSketch` writes them, in base64; '' for none */
  ttft: string
}

/** What this process puts into its pulse beside what `live` counts. */
export interface Surroundings {
  waiting(): number
  waitingBy(): WaitingBy
}

export interface Pulses {
  /** Samples what is under way, and tells the others. */
  beat(): Promise<void>
  /** Of all processes that live, this one first. */
  all(): Promise<Pulse[]>
}

/** `shared`: there are other processes to tell, and to hear of. */
export function createPulses(
  live: Live,
  store: Store,
  { processId, shared, ...around }: Surroundings & { processId: string; shared: boolean },
): Pulses {
  const key = (process: string) => `pulse:${process}`
  let beats = 0
  const own = (): Pulse => {
    const sketch = live.firstTokens()
    return {
      process: processId,
      beat: beats,
      node: {
        name: os.hostname(),
        pid: process.pid,
        uptime_s: Math.round(process.uptime()),
        in_flight: live.inFlight(),
        rss_bytes: process.memoryUsage.rss(),
      },
      waiting: around.waiting(),
      waitingBy: around.waitingBy(),
      ...live.counts(),
      per_second: live.perSecond(),
      ttft: sketch.count === 0 ? '' : encodeSketch(sketch).toString('base64'),
    }
  }
  // By our own clock: those of other hosts may be wrong.
  const heard = new Map<string, { beat: number; at: number }>()

  return {
    async beat() {
      live.sample()
      beats++
      if (shared) await store.set(key(processId), JSON.stringify(own()), TTL_MS)
    },
    async all() {
      if (!shared) return [own()]
      const others = (await store.holders([PROCESSES])).map(lease => lease.holder).filter(id => id !== processId)
      const texts = await store.get(others.map(key))
      const now = performance.now()
      for (const id of heard.keys()) if (!others.includes(id)) heard.delete(id)
      const pulses = others.flatMap((id, i): Pulse[] => {
        const text = texts[i]
        if (text === undefined) return []
        const pulse = JSON.parse(text) as Pulse
        const before = heard.get(id)
        if (before?.beat !== pulse.beat) heard.set(id, { beat: pulse.beat, at: now })
        // While Redis is silent the store gives what it read last.
        else if (now - before.at > STILL_MS) return []
        return [pulse]
      })
      return [own(), ...pulses]
    },
  }
}

/** What one step added, over processes that come and go: exact, since each is told as counts since its start. */
export class Steps {
  readonly #told = new Map<string, { requests: number; tokens: number; seen: boolean }>()

  /** Since it was asked before. The first time, of each process, its own last step. */
  next(pulses: readonly Pulse[]): { all: Step; platforms: Record<string, Step> } {
    for (const told of this.#told.values()) told.seen = false
    const all: Step = { requests: 0, tokens: 0 }
    const platforms: Record<string, Step> = {}
    for (const pulse of pulses) {
      this.#add(all, pulse.process, pulse.all)
      for (const [name, counts] of Object.entries(pulse.platforms))
        this.#add((platforms[name] ??= { requests: 0, tokens: 0 }), `${pulse.process} ${name}`, counts)
    }
    for (const [key, told] of this.#told) if (!told.seen) this.#told.delete(key)
    return { all, platforms }
  }

  #add(into: Step, key: string, { requests, tokens, before }: Counts): void {
    let told = this.#told.get(key)
    if (!told) this.#told.set(key, (told = { ...before, seen: true }))
    told.seen = true
    into.requests += requests - told.requests
    told.requests = requests
    // A guess that was taken back is made up for by what comes next: no step is below nothing.
    into.tokens += Math.max(0, tokens - told.tokens)
    told.tokens = Math.max(told.tokens, tokens)
  }
}

interface Step {
  requests: number
  tokens: number
}

/** Good and bad ends as a rate in percent, to two digits. */
export function errorRate(counts: readonly Pick<Counts, 'good' | 'bad'>[]): number | null {
  const bad = counts.reduce((sum, c) => sum + c.bad, 0)
  const ended = counts.reduce((sum, c) => sum + c.good, bad)
  return ended === 0 ? null : round((100 * bad) / ended, 2)
}

/** `step` over `seconds`, with what stands beside it. */
export function ratesOf(step: Step, counts: readonly Counts[], seconds: number): FrameRates {
  return {
    qps: round(step.requests / seconds, 1),
    tps: round(step.tokens / seconds, 1),
    in_flight: counts.reduce((sum, c) => sum + c.in_flight, 0),
    error_rate: errorRate(counts),
  }
}

/** In whole ms; null when nothing was seen. */
export function firstTokens(pulses: readonly Pulse[]): { p50: number; p95: number; p99: number } | null {
  const seen = quantilesOf(pulses.flatMap(({ ttft }) => (ttft === '' ? [] : [Buffer.from(ttft, 'base64')])))
  return seen ? { p50: Math.round(seen.p50), p95: Math.round(seen.p95), p99: Math.round(seen.p99) } : null
}

/** At most so many of them, the largest first. */
export const largest = (counts: Iterable<readonly [string | number, number]>): Record<string, number> =>
  Object.fromEntries([...counts].sort((a, b) => b[1] - a[1]).slice(0, MOST_NAMED))

/** How many wait for `id`, over all processes. */
export const waitingFor = (pulses: readonly Pulse[], kind: keyof WaitingBy, id: number): number =>
  pulses.reduce((sum, pulse) => sum + (pulse.waitingBy[kind][id] ?? 0), 0)

function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits
}

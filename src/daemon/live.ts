// What goes on now: requests under way, and counts of the last minute as a fold over Outcomes.
import { classify } from '../core/errors/classify.ts'
import type { Fold, Outcome } from '../core/outcome.ts'
import { createSketch, type Sketch } from '../core/watch/sketch.ts'
import { promptTokens } from '../dialect/usage.ts'
import { Crowd } from '../lib/crowd.ts'

const WINDOW_S = 60
// What "per second" is averaged over where one answer is asked for: long enough to be steady, short enough to be now.
const RATE_S = 5
const SAMPLES = 1024
// A guess while the text passes; the provider's own count replaces it at the end. Rather too many bytes than too few: what was
// counted too early would be taken back.
const BYTES_A_TOKEN = 4

interface Second {
  at: number
  requests: number
  tokens: number
  /** that ended well, or as their client wanted it */
  good: number
  /** that ended as a provider or we spoiled them; what clients did wrong is neither (core/errors/classify.ts) */
  bad: number
}

/** Counts since the start, and of the last minute by second. `tokens` falls a little when a guess is corrected. */
class Tally {
  requests = 0
  tokens = 0
  inFlight = 0
  /** the first two, as they were at the last sample and at the one before */
  latest = { requests: 0, tokens: 0 }
  before = { requests: 0, tokens: 0 }
  readonly #ring: Second[] = Array.from({ length: WINDOW_S }, () => ({
    at: 0,
    requests: 0,
    tokens: 0,
    good: 0,
    bad: 0,
  }))

  at(second: number): Second {
    const slot = this.#ring[second % WINDOW_S]!
    if (slot.at !== second) Object.assign(slot, { at: second, requests: 0, tokens: 0, good: 0, bad: 0 })
    return slot
  }

  sum(now: number, seconds: number, field: Exclude<keyof Second, 'at'>): number {
    let sum = 0
    for (const slot of this.#ring) if (slot.at > now - seconds && slot.at <= now) sum += slot[field]
    return sum
  }

  request(second: number): void {
    this.requests++
    this.at(second).requests++
  }

  token(second: number, count: number): void {
    this.tokens += count
    this.at(second).tokens += count
  }

  mark(): void {
    this.before = this.latest
    this.latest = { requests: this.requests, tokens: this.tokens }
  }
}

/** Of all requests, or of those of one platform. */
export interface Counts {
  /** since this process started, at the last sample */
  requests: number
  tokens: number
  /** the same at the sample before, so that the last step is known to who begins to look */
  before: { requests: number; tokens: number }
  in_flight: number
  /** of the last minute, those that ended and count: `bad` is what a provider or we spoiled */
  good: number
  bad: number
}

export interface Live extends Fold {
  /** requests under way, in no order */
  under(): Outcome[]
  inFlight(): number
  /** Counts what has passed of the answers under way. Called once a second; what it costs grows with them. */
  sample(): void
  /** Of all, and by the names of those platforms that requests were for. */
  counts(): { all: Counts; platforms: Record<string, Counts> }
  /** the last few seconds' average */
  perSecond(): { requests: number; tokens: number }
  /** times to the first token of the last minute, of the latest thousand */
  firstTokens(): Sketch
}

export function createLive(now: () => number): Live {
  const all = new Tally()
  const platforms = new Map<string, Tally>()
  // Times to the first token, the latest of each place: when the request began, Unix ms, and how long it took.
  const sampledAt = new Float64Array(SAMPLES)
  const sampledMs = new Float64Array(SAMPLES)
  let nextSample = 0
  const under = new Crowd<Outcome>()

  /** Its platform's, which hears of the request with the first thing there is to count once it is known. */
  function tallyOf(o: Outcome, second: number): Tally | undefined {
    if (o.platform === '') return undefined
    let tally = platforms.get(o.platform)
    if (!tally) platforms.set(o.platform, (tally = new Tally()))
    if (o.countedAs === '') {
      o.countedAs = o.platform
      tally.request(second)
    }
    return tally
  }

  function count(o: Outcome, tally: Tally | undefined, second: number, tokens: number): void {
    const more = tokens - o.counted
    if (more === 0) return
    o.counted = tokens
    all.token(second, more)
    tally?.token(second, more)
  }

  return {
    under: () => [...under],
    inFlight: () => under.size,
    began(o) {
      under.add(o)
      all.request(Math.floor(now() / 1000))
    },
    ended(o) {
      under.remove(o)
      const second = Math.floor(now() / 1000)
      const tally = tallyOf(o, second)
      count(o, tally, second, promptTokens(o.usage) + o.usage.output)
      const verdict = verdictOf(o)
      if (verdict) {
        all.at(second)[verdict]++
        if (tally) tally.at(second)[verdict]++
      }
      if (o.firstTokenMs > 0) {
        sampledAt[nextSample] = o.at
        sampledMs[nextSample] = o.firstTokenMs
        nextSample = (nextSample + 1) % SAMPLES
      }
    },
    sample() {
      // What came before the second's end belongs to it.
      const second = Math.floor((now() - 500) / 1000)
      for (const tally of platforms.values()) tally.inFlight = 0
      for (const o of under) {
        const tally = tallyOf(o, second)
        if (tally) tally.inFlight++
        if (!o.meter) continue
        const { usage, emitted } = o.meter
        // Of a whole answer the bytes are more than its text, and all come at once anyway.
        const output = Math.max(usage.output, o.stream ? Math.floor(emitted / BYTES_A_TOKEN) : 0)
        count(o, tally, second, Math.max(o.counted, promptTokens(usage) + output))
      }
      all.mark()
      for (const tally of platforms.values()) tally.mark()
    },
    counts() {
      const at = Math.floor(now() / 1000)
      const told = (tally: Tally, inFlight: number): Counts => ({
        ...tally.latest,
        before: tally.before,
        in_flight: inFlight,
        good: tally.sum(at, WINDOW_S, 'good'),
        bad: tally.sum(at, WINDOW_S, 'bad'),
      })
      return {
        all: told(all, under.size),
        platforms: Object.fromEntries([...platforms].map(([name, tally]) => [name, told(tally, tally.inFlight)])),
      }
    },
    perSecond() {
      const at = now() / 1000
      // The second that runs is not over.
      const seconds = RATE_S - 1 + (at % 1)
      const rate = (field: 'requests' | 'tokens') =>
        Math.round((10 * Math.max(0, all.sum(Math.floor(at), RATE_S, field))) / seconds) / 10
      return { requests: rate('requests'), tokens: rate('tokens') }
    },
    firstTokens() {
      const oldest = now() - WINDOW_S * 1000
      const sketch = createSketch()
      for (let i = 0; i < SAMPLES; i++) if (sampledAt[i]! > oldest) sketch.accept(sampledMs[i]!)
      return sketch
    },
  }
}

function verdictOf(o: Outcome): 'good' | 'bad' | undefined {
  if (o.status < 400 && o.failure === undefined && o.error === '') return 'good'
  const what = classify(o)
  if (what === undefined || what.recovered) return 'good'
  return what.owner === 'client' ? undefined : 'bad'
}

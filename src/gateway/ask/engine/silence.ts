// Limits of silence: one timer of the process looks after all requests, so that a chunk costs a number and no timer.
import { failure } from './engine.ts'

/** Limits of silence, ms. */
export interface Patience {
  /** until there is a connection */
  connect: number
  /** from there to the head of the answer */
  responseHeader: number
  /** from the head to the first frame that means something */
  firstToken: number
  /** between two pieces after that; a client that does not read is given as long */
  idle: number
}

// Never early, and late by three of these while the process keeps up.
const LONGEST_TICK_MS = 50
const SHORTEST_TICK_MS = 5

const codes = {
  ETIMEDOUT: 'connect timeout',
  EHEADERS: 'response header timeout',
  EFIRSTTOKEN: 'first token timeout',
  EIDLE: 'idle timeout',
  ECLIENTSTALLED: 'the client stopped reading',
}

/** A request that is looked after: connecting → waiting → opening → flowing ⇄ stalled, each with its limit. */
export abstract class Watched {
  /** its place in the list; -1 when it is not looked after */
  index = -1
  since = 0
  limit: number
  code: keyof typeof codes = 'ETIMEDOUT'
  readonly patience: Patience
  /** Whether there is a connection; asked until it is true. */
  abstract readonly sent: boolean
  /** It was silent for too long, and is looked after no more. */
  abstract expired(error: NodeJS.ErrnoException): void

  constructor(patience: Patience) {
    this.patience = patience
    this.limit = patience.connect
  }
}

export class Silence {
  // Milliseconds in which this process was awake, as of the last sweep. While it stood still nobody was heard, so that
  // time is nobody's silence.
  #now = 0
  #swept = 0
  #tickMs = LONGEST_TICK_MS
  #timer: NodeJS.Timeout | undefined
  readonly #watched: Watched[] = []

  /** Looks after it from now on. */
  begin(watched: Watched): void {
    const { connect, responseHeader, firstToken, idle } = watched.patience
    this.#keepUpWith(Math.min(connect, responseHeader, firstToken, idle))
    watched.since = this.#now
    watched.index = this.#watched.push(watched) - 1
  }

  /** Another phase begins, with its own limit in ms. */
  enter(watched: Watched, limit: number, code: keyof typeof codes): void {
    watched.since = this.#now
    watched.limit = limit
    watched.code = code
  }

  /** It was heard. */
  heard(watched: Watched): void {
    watched.since = this.#now
  }

  end(watched: Watched): void {
    const { index } = watched
    if (index < 0) return
    watched.index = -1
    const last = this.#watched.pop()!
    if (last === watched) return
    this.#watched[index] = last
    last.index = index
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #keepUpWith(limit: number): void {
    const tickMs = Math.max(SHORTEST_TICK_MS, Math.min(LONGEST_TICK_MS, Math.floor(limit / 4)))
    if (this.#timer && tickMs >= this.#tickMs) return
    this.#tickMs = Math.min(tickMs, this.#tickMs)
    this.close()
    this.#swept = performance.now()
    this.#timer = setInterval(() => this.#sweep(), this.#tickMs).unref()
  }

  #sweep(): void {
    const passed = Math.floor(performance.now() - this.#swept)
    this.#swept += passed
    const most = 2 * this.#tickMs
    this.#now += Math.min(passed, most)
    if (this.#watched.length === 0) {
      this.close()
      return
    }
    // From the end, since what is ended gives its place to the last. Whoever is told may end any of the others.
    for (let i = this.#watched.length - 1; i >= 0; i--) {
      const watched = this.#watched[i]
      if (!watched) continue
      if (watched.code === 'ETIMEDOUT' && watched.sent) this.enter(watched, watched.patience.responseHeader, 'EHEADERS')
      // What was heard just before a sweep bears the time of the one before it.
      else if (this.#now - watched.since > watched.limit + most) {
        this.end(watched)
        watched.expired(failure(watched.code, codes[watched.code]))
      }
    }
  }
}

// Counts finished Outcomes in memory, in slices of time. Each request costs a few additions; who it was by is worked out later.
import { promptTokens } from '../../dialect/usage.ts'
import { type Classified, classify, isProvidersFault } from '../errors/classify.ts'
import type { AttemptRecord, Fold, Outcome } from '../outcome.ts'
import { Together } from '../together.ts'
import { OTHER } from './classes.ts'
import { accept, binOf, createSketch, type Sketch } from './sketch.ts'
import { Tally } from './tally.ts'

/** What is counted of one combination that alerts can filter by. */
export interface Cell {
  platform: string
  group: number
  account: number
  model: string
  counts: Tally
}

/** A stretch of time that lies within one interval and one minute, and what ended in it. */
export interface Slice {
  /** Unix ms */
  from: number
  until: number
  /** by whom it was asked and where it was sent: all dimensions of cells follow from these */
  cells: Cell[]
  users: Map<number, Tally>
  keys: Map<number, Tally>
  paths: Map<string, Tally>
  /** time spent at upstreams, and waiting for places, ms */
  upstream: Sketch
  queued: Sketch
  /** requests of users, keys or models that came after the table was full: they are counted in `OVERFLOW` and `other` */
  crowded: number
}

/** Stands for the users and keys beyond the most that one slice tells apart. */
export const OVERFLOW = -1

export interface FoldOptions {
  intervalMs: number
  /** Unix ms */
  now: () => number
  modelClass: (model: string, served: boolean) => string
  pathClass: (path: string) => string
  /** the most users, and the most keys, that a slice tells apart; default 20,000 */
  mostPayers?: number
  /** the most combinations of platform, group, account and model; default 10,000 */
  mostCells?: number
  /** the most slices that wait to be given out, of which the oldest go first; default 60 */
  mostSlices?: number
  /** told of each that nobody fetched in time */
  lost?: (slice: Slice) => void
}

export interface WatchFold extends Fold {
  /** Slices that are over, oldest first, each given out once; with `all`, also the one that is not. */
  cut(all?: boolean): Slice[]
  /** Whether the clock was put back, by more than its owner would wait for it to come again. */
  putBack(): boolean
}

const MINUTE = 60_000
const PUT_BACK_MS = MINUTE

/** A request belongs to the instant at which it ended. */
export function createFold(options: FoldOptions): WatchFold {
  const { intervalMs, now, modelClass, pathClass, mostPayers = 20_000, mostCells = 10_000, mostSlices = 60 } = options
  const over: Slice[] = []
  let tree: Tree = new Map()
  let slice = begin(now())

  function begin(at: number): Slice {
    tree = new Map()
    const until = Math.min(Math.floor(at / intervalMs + 1) * intervalMs, Math.floor(at / MINUTE + 1) * MINUTE)
    return {
      from: at,
      until,
      cells: [],
      users: new Map(),
      keys: new Map(),
      paths: new Map(),
      upstream: createSketch(),
      queued: createSketch(),
      crowded: 0,
    }
  }

  function cell(platform: string, group: number, account: number, model: string): Tally {
    let groups = tree.get(platform)
    if (groups === undefined) tree.set(platform, (groups = new Map()))
    let accounts = groups.get(group)
    if (accounts === undefined) groups.set(group, (accounts = new Map()))
    let models = accounts.get(account)
    if (models === undefined) accounts.set(account, (models = new Map()))
    let counts = models.get(model)
    if (counts === undefined) {
      if (slice.cells.length >= mostCells && model !== OTHER) {
        slice.crowded++
        return cell(platform, group, account, OTHER)
      }
      models.set(model, (counts = new Tally()))
      slice.cells.push({ platform, group, account, model, counts })
    }
    return counts
  }

  function payer(of: Map<number, Tally>, id: number): Tally {
    let counts = of.get(id)
    if (counts === undefined) {
      if (of.size >= mostPayers && id !== OVERFLOW) {
        slice.crowded++
        return payer(of, OVERFLOW)
      }
      of.set(id, (counts = new Tally()))
    }
    return counts
  }

  function ofPath(of: Map<string, Tally>, name: string): Tally {
    let counts = of.get(name)
    if (counts === undefined) of.set(name, (counts = new Tally()))
    return counts
  }

  function count(o: Outcome): void {
    const at = o.at + o.durationMs
    // By the clock as it is now: a request that began before that was put back ended in a future which is none any more.
    if (at >= slice.until && now() >= slice.until) {
      over.push(slice)
      slice = begin(now())
      // Whoever writes them stands still with Postgres, and requests go on.
      if (over.length > mostSlices) options.lost?.(over.shift()!)
    }
    const wrong = classify(o)
    const success = wrong === undefined || wrong.recovered
    const group = o.groupId ?? 0
    const model = modelClass(o.model, success && o.upstreamModel !== '')
    const last = cell(o.platform, group, o.accountId ?? 0, model)
    const user = payer(slice.users, o.userId)
    const key = payer(slice.keys, o.keyId)
    const path = ofPath(slice.paths, pathClass(o.path))
    const tokens = o.metered ? promptTokens(o.usage) : 0
    const cost = Number(o.cost)
    addRequest(last, o, tokens, cost)
    addRequest(user, o, tokens, cost)
    addRequest(key, o, tokens, cost)
    addRequest(path, o, tokens, cost)
    if (!success) for (const tally of [last, user, key, path]) addError(tally, o, wrong)
    else if (o.metered) {
      const { durationMs, firstTokenMs } = o
      const bin = binOf(durationMs)
      const first = binOf(firstTokenMs)
      addTimes(last, durationMs, bin, firstTokenMs, first)
      addTimes(user, durationMs, bin, firstTokenMs, first)
      addTimes(key, durationMs, bin, firstTokenMs, first)
      addTimes(path, durationMs, bin, firstTokenMs, first)
    }
    if (success) {
      last.success++
      user.success++
      key.success++
      path.success++
    }
    if (o.metered) slice.queued.accept(o.waitedMs)
    if (o.attempts.length === 0) return
    let upstreamMs = 0
    for (const attempt of o.attempts) {
      upstreamMs += Math.max(0, attempt.endedMs - attempt.startedMs)
      // Whoever failed it bears it, not whoever was asked last.
      const one = attempt.accountId === o.accountId ? last : cell(o.platform, group, attempt.accountId, model)
      addAttempt(one, attempt)
      addAttempt(user, attempt)
      addAttempt(key, attempt)
      addAttempt(path, attempt)
    }
    slice.upstream.accept(upstreamMs)
  }

  const ended = new Together(count)
  return {
    ended(o) {
      if (o.at + o.durationMs < slice.until) return ended.add(o)
      // All that wait belong to the slice that may be over now.
      ended.settle()
      count(o)
    },
    cut(all = false) {
      ended.settle()
      const at = now()
      if (all || at >= slice.until) {
        over.push(slice)
        // Put back by little, it makes no slice twice.
        slice = begin(at < slice.from - PUT_BACK_MS ? at : Math.max(at, all ? slice.from : slice.until))
      }
      return over.splice(0)
    },
    putBack: () => now() < slice.from - PUT_BACK_MS,
  }
}

type Tree = Map<string, Map<number, Map<number, Map<string, Tally>>>>

function addRequest(tally: Tally, o: Outcome, tokens: number, cost: number): void {
  tally.requests++
  tally.input_tokens += tokens
  tally.output_tokens += o.usage.output
  tally.cost += cost
}

function addTimes(tally: Tally, ms: number, bin: number, firstTokenMs: number, firstBin: number): void {
  accept((tally.duration ??= createSketch()), ms, bin)
  if (firstTokenMs > 0) accept((tally.first_token ??= createSketch()), firstTokenMs, firstBin)
}

function addError(tally: Tally, o: Outcome, { owner }: Classified): void {
  if (owner === 'client') tally.client_errors++
  else {
    tally.errors++
    if (isTimeout(o)) tally.errors_timeout++
  }
  if (o.status >= 400 && o.status < 500) tally.errors_4xx++
  else tally.errors_5xx++
}

function addAttempt(tally: Tally, attempt: AttemptRecord): void {
  tally.attempts++
  if (!isProvidersFault(attempt)) return
  tally.attempt_errors++
  if (attempt.status === 0) tally.network_errors++
}

const isTimeout = (o: Outcome): boolean =>
  o.status === 504 || o.code.endsWith('_TIMEOUT') || o.attempts.at(-1)?.error.includes('timeout') === true

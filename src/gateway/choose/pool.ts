// Pools: the accounts of a large group in the order of choice, kept by events, so that a request looks at a few of them.
import type { VetoRecord } from '../../core/outcome.ts'
import type { AccountFacts, ModelMap } from '../../core/snapshot.ts'
import type { Lease } from '../admit/leases.ts'
import { type Asked, full, loadOf, unhealthy } from './available.ts'

/** Groups of so many accounts are looked at whole, which is exact also about the places that other processes hold. */
export const FEW = 16
/** Of a larger one, so many that look best from here are asked about. */
const SHORT = 8
/** Of those that are out, so many are told to who asks why. */
const TOLD = 32
/** Models that a pool remembers who serves them. Clients name them, so there may be any number. */
const MODELS = 1_000

/** What this process knows of an account, whichever snapshots it is in. */
class Tally {
  /** requests of this process under way at it */
  held = 0
  /** when it was last chosen, as a growing number; 0: never */
  chosen = 0
  /** where it stands in pools */
  readonly standings: Standing[] = []

  changed(): void {
    for (const standing of this.standings) standing.changed()
  }
}

/** An account in one pool. */
class Standing {
  readonly account: AccountFacts
  readonly tally: Tally
  readonly level: Level
  load: number
  /** its place in the level's heap */
  at = 0

  constructor(account: AccountFacts, tally: Tally, level: Level) {
    this.account = account
    this.tally = tally
    this.level = level
    this.load = loadOf(account, tally.held)
  }

  before(other: Standing): boolean {
    if (this.load !== other.load) return this.load < other.load
    const [a, b] = [this.tally.chosen, other.tally.chosen]
    return a !== b ? a < b : this.account.id < other.account.id
  }

  changed(): void {
    this.load = loadOf(this.account, this.tally.held)
    this.level.settle(this)
  }
}

/** Accounts of one priority and one model mapping: a binary heap, the next to be chosen on top. */
class Level {
  readonly priority: number
  readonly models: ModelMap
  readonly heap: Standing[] = []

  constructor(priority: number, models: ModelMap) {
    this.priority = priority
    this.models = models
  }

  add(standing: Standing): void {
    standing.at = this.heap.push(standing) - 1
    this.settle(standing)
  }

  remove(standing: Standing): void {
    const last = this.heap.pop()!
    if (last === standing) return
    last.at = standing.at
    this.heap[last.at] = last
    this.settle(last)
  }

  /** Moves it to where it belongs. */
  settle(standing: Standing): void {
    const { heap } = this
    let { at } = standing
    while (at > 0) {
      const parent = heap[(at - 1) >> 1]!
      if (!standing.before(parent)) break
      heap[at] = parent
      parent.at = at
      at = (at - 1) >> 1
    }
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1]!.before(heap[child]!)) child++
      if (!heap[child]!.before(standing)) break
      heap[at] = heap[child]!
      heap[at]!.at = at
      at = child
    }
    heap[at] = standing
    standing.at = at
  }
}

/** The next ones of several levels: those of which everything before was taken. A binary heap, too. */
class Frontier {
  readonly #heap: Standing[] = []

  push(standing: Standing | undefined): void {
    if (!standing) return
    const heap = this.#heap
    let at = heap.push(standing) - 1
    while (at > 0 && standing.before(heap[(at - 1) >> 1]!)) {
      heap[at] = heap[(at - 1) >> 1]!
      at = (at - 1) >> 1
    }
    heap[at] = standing
  }

  /** Takes the best, and puts those in its place that come after it in its level. */
  next(): Standing | undefined {
    const heap = this.#heap
    const [best] = heap
    if (!best) return undefined
    const last = heap.pop()!
    let at = 0
    if (heap.length > 0) {
      for (;;) {
        let child = 2 * at + 1
        if (child >= heap.length) break
        if (child + 1 < heap.length && heap[child + 1]!.before(heap[child]!)) child++
        if (!heap[child]!.before(last)) break
        heap[at] = heap[child]!
        at = child
      }
      heap[at] = last
    }
    const below = best.level.heap
    this.push(below[2 * best.at + 1])
    this.push(below[2 * best.at + 2])
    return best
  }
}

/** Who looks best, as far as this process knows. */
export interface Shortlist {
  /** healthy, not tried and not full, best first, of the best priorities; at most `SHORT` */
  accounts: AccountFacts[]
  /** one of those that were passed over may become free at any moment */
  waitable: boolean
  /** the first of those that were passed over since they are out; undefined: none was */
  passed: VetoRecord[] | undefined
}

class Pool {
  #accounts: readonly AccountFacts[] = []
  /** by account id */
  readonly #standings = new Map<number, Standing>()
  readonly #levels = new Map<ModelMap, Map<number, Level>>()
  /** the levels that serve a model, by priority */
  readonly #serving = new Map<string, readonly Level[]>()
  readonly #tallyOf: (account: number) => Tally

  constructor(tallyOf: (account: number) => Tally) {
    this.#tallyOf = tallyOf
  }

  /** Makes these its accounts; those whose facts are the same stay where they are. */
  become(accounts: readonly AccountFacts[]): void {
    if (accounts === this.#accounts) return
    this.#accounts = accounts
    const gone = new Set(this.#standings.keys())
    for (const account of accounts) {
      const known = this.#standings.get(account.id)
      if (known?.account === account) gone.delete(account.id)
    }
    for (const id of gone) this.#leave(this.#standings.get(id)!)
    if (this.#standings.size < accounts.length)
      for (const account of accounts) if (!this.#standings.has(account.id)) this.#join(account)
  }

  shortlist(asked: Asked, excluded: ReadonlySet<number>): Shortlist {
    const list: Shortlist = { accounts: [], waitable: false, passed: undefined }
    const levels = this.#levelsOf(asked.model)
    for (let i = 0; i < levels.length && list.accounts.length < SHORT; ) {
      const frontier = new Frontier()
      const { priority } = levels[i]!
      for (; i < levels.length && levels[i]!.priority === priority; i++) frontier.push(levels[i]!.heap[0])
      this.#walk(frontier, asked, excluded, list)
    }
    return list
  }

  #walk(frontier: Frontier, asked: Asked, excluded: ReadonlySet<number>, list: Shortlist): void {
    for (let next = frontier.next(); next; next = frontier.next()) {
      // All that come after one that is full are full.
      if (full(next.load) && list.waitable) return
      const { account } = next
      if (excluded.has(account.id)) continue
      const veto = unhealthy(account, asked)
      if (veto && (list.passed?.length ?? 0) < TOLD) (list.passed ??= []).push({ account, why: veto })
      if (veto ? veto.waitable : full(next.load)) list.waitable = true
      else if (!veto && list.accounts.push(account) === SHORT) return
    }
  }

  #levelsOf(model: string): readonly Level[] {
    let serving = this.#serving.get(model)
    if (!serving) {
      if (this.#serving.size >= MODELS) this.#serving.clear()
      serving = [...this.#levels]
        .flatMap(([models, levels]) => (models(model) === undefined ? [] : [...levels.values()]))
        .sort((a, b) => a.priority - b.priority)
      this.#serving.set(model, serving)
    }
    return serving
  }

  #join(account: AccountFacts): void {
    const { priority, models } = account
    let levels = this.#levels.get(models)
    if (!levels) this.#levels.set(models, (levels = new Map()))
    let level = levels.get(priority)
    if (!level) {
      levels.set(priority, (level = new Level(priority, models)))
      this.#serving.clear()
    }
    const tally = this.#tallyOf(account.id)
    const standing = new Standing(account, tally, level)
    this.#standings.set(account.id, standing)
    tally.standings.push(standing)
    level.add(standing)
  }

  #leave(standing: Standing): void {
    const { level, tally, account } = standing
    this.#standings.delete(account.id)
    tally.standings.splice(tally.standings.indexOf(standing), 1)
    level.remove(standing)
    if (level.heap.length > 0) return
    const levels = this.#levels.get(level.models)!
    levels.delete(level.priority)
    if (levels.size === 0) this.#levels.delete(level.models)
    this.#serving.clear()
  }
}

/** A place at an account, which its tally knows of. */
class Place implements Lease {
  readonly key: string
  readonly #lease: Lease
  readonly #tally: Tally
  #open = true

  constructor(lease: Lease, tally: Tally) {
    this.key = lease.key
    this.#lease = lease
    this.#tally = tally
  }

  release(): void {
    // Before it is given back: whoever is woken by that looks at the tally.
    if (this.#open) this.#tally.held--
    if (this.#open && this.#tally.standings.length > 0) this.#tally.changed()
    this.#open = false
    this.#lease.release()
  }

  [Symbol.dispose](): void {
    this.release()
  }
}

export class Pools {
  readonly #tallies = new Map<number, Tally>()
  readonly #pools = new Map<number | string, Pool>()
  #choices = 0

  /** When an account was last chosen, as a growing number; 0: never. */
  readonly chosen = (account: number): number => this.#tallies.get(account)?.chosen ?? 0

  /** Requests of this process under way at an account. */
  held(account: number): number {
    return this.#tallies.get(account)?.held ?? 0
  }

  /** The account was chosen and `lease` is the place there: what is returned must be given back in its stead. */
  choose(account: number, lease: Lease): Lease {
    const tally = this.#tallyOf(account)
    tally.held++
    tally.chosen = ++this.#choices
    tally.changed()
    return new Place(lease, tally)
  }

  /** The best of a group's accounts (`group`: its id, also with a platform of it, or the platform of those in none). */
  shortlist(
    group: number | string,
    accounts: readonly AccountFacts[],
    asked: Asked,
    excluded: ReadonlySet<number>,
  ): Shortlist {
    let pool = this.#pools.get(group)
    if (!pool) this.#pools.set(group, (pool = new Pool(account => this.#tallyOf(account))))
    pool.become(accounts)
    return pool.shortlist(asked, excluded)
  }

  /** Forgets the pools of groups that are no more, and the accounts. */
  keep(groups: { has(group: number): boolean }, accounts: { has(account: number): boolean }): void {
    for (const [group, pool] of this.#pools)
      if (idOf(group) !== undefined && !groups.has(idOf(group)!)) {
        pool.become([])
        this.#pools.delete(group)
      }
    for (const [id, tally] of this.#tallies)
      if (tally.held === 0 && tally.standings.length === 0 && !accounts.has(id)) this.#tallies.delete(id)
  }

  #tallyOf(account: number): Tally {
    let tally = this.#tallies.get(account)
    if (!tally) this.#tallies.set(account, (tally = new Tally()))
    return tally
  }
}

// Of a group, or of one platform in it; a platform alone is nobody's.
const idOf = (group: number | string): number | undefined => {
  const id = typeof group === 'number' ? group : Number.parseInt(group, 10)
  return Number.isNaN(id) ? undefined : id
}

/** The account with this id in a pool, which is in the order of ids. */
export function findAccount(pool: readonly AccountFacts[], id: number | undefined): AccountFacts | undefined {
  if (id === undefined) return undefined
  let [from, to] = [0, pool.length]
  while (from < to) {
    const middle = (from + to) >> 1
    if (pool[middle]!.id < id) from = middle + 1
    else to = middle
  }
  return pool[from]?.id === id ? pool[from] : undefined
}

// The nodes beside this one: it beats in Postgres, hears who comes and goes, and tells the store by how many limits are to be divided.
import os from 'node:os'
import type { NodeStanding } from '../control/view.ts'
import { beat, enter, leave, type NodeRow, type OtherNode, remember } from '../core/record/node.ts'
import type { Database } from '../db/connect.ts'
import { type Ears, NODES } from '../db/listen.ts'
import { version } from '../lib/version.ts'
import { within } from '../lib/within.ts'
import type { Store } from '../store/store.ts'

export interface Nodes {
  /** how many to reckon with from the start, this one included */
  readonly first: number
  /** From now on the store is told, and asked what it counts itself. */
  follow(store: Store): void
  /** why limits do not hold over all nodes, in words; undefined when they do, or when this node is alone */
  trouble(): string | undefined
  /** all that live, this one first */
  view(): NodeStanding[]
  close(): Promise<void>
}

export interface NodesOptions {
  database: Pick<Database, 'db' | 'embedded'>
  ears: Ears
  process: string
  /** names the data_dir */
  place: string
  /** there is a `redis.url` */
  redis: boolean
  log: (level: 'info' | 'warn', line: string) => void
  /** ms between two beats; default 5 s */
  beatMs?: number | undefined
}

const BEAT_MS = 5_000
/** Who has not beaten while we did so often is gone: at 5 s about as long as a lease lives. */
const MISSED = 3
/** Who starts believes a row by Postgres's clock; afterwards no clock is asked, only whether it changes. */
const FRESH_BEATS = MISSED + 1
const LEAVE_MS = 1_000

interface Seen extends OtherNode {
  /** beats of ours in which it stood still */
  missed: number
}

/**
 * Takes part. With the embedded Postgres there is nobody else, and nothing is written or asked before somebody is heard of.
 * @throws when Postgres cannot be asked
 */
export async function joinNodes(options: NodesOptions): Promise<Nodes> {
  const { database, ears, process: id, place, redis, log, beatMs = BEAT_MS } = options
  const { db } = database
  const seen = new Map<string, Seen>()
  let quiet = database.embedded
  let store: Store | undefined
  let known: number | undefined
  let told: string | undefined
  let toldNames = ''
  /** beats in which the others were not in our Redis */
  let apart = 0
  let missedOne = false
  let beating: Promise<void> | undefined
  let closed = false

  const row = (): NodeRow => {
    const sees = store?.counted() ?? null
    const shares = !redis ? 'nothing' : sees === null ? 'silent' : 'redis'
    return { process: id, place, host: os.hostname(), pid: process.pid, version, shares, sees }
  }
  const others = () => [...seen.values()].filter(({ missed }) => missed <= MISSED)
  const count = () => others().length + 1

  function look(rows: readonly OtherNode[], counting: boolean): void {
    for (const [name] of seen) if (!rows.some(one => one.process === name)) seen.delete(name)
    for (const one of rows) {
      const before = seen.get(one.process)
      const still = before && before.beat === one.beat
      const missed = still
        ? before.missed + Number(counting)
        : before || one.ageMs < FRESH_BEATS * beatMs
          ? 0
          : MISSED + 1
      seen.set(one.process, { ...one, missed })
    }
  }

  /** `counting`: so long after the last one that all the others must have beaten. */
  async function round(counting: boolean): Promise<void> {
    const mine = row()
    const answer = await beat(db, mine)
    look(answer.others, counting)
    known = answer.known
    store?.reckon(reckoned())
    if (mine.sees === null || mine.sees >= sharing()) apart = 0
    else apart += Number(counting)
    // While Redis counts, its number is remembered; while it does not, only a larger one.
    const now = Math.max(mine.sees ?? 0, count())
    if (redis && (mine.sees === null ? now > (known ?? 1) : now !== (known ?? 1))) {
      await remember(db, now)
      known = now
    }
    tell()
  }
  const sharing = () => others().filter(({ sees }) => sees !== null).length + 1

  // Without Redis those that beat are all that is known; where it fell silent, those that left meanwhile may come back.
  const reckoned = () => (redis && store?.counted() === undefined ? Math.max(count(), known ?? 1) : count())

  function tell(): void {
    const now = trouble()
    const names = others()
      .map(one => one.process)
      .join()
    if ((now !== undefined) !== (told !== undefined) || (now !== undefined && names !== toldNames)) {
      if (now !== undefined) log('warn', now)
      else log('info', others().length === 0 ? 'nodes: this one is alone again' : 'nodes: all share one Redis again')
    }
    told = now
    toldNames = names
  }

  function trouble(): string | undefined {
    const living = others()
    if (living.length === 0) return undefined
    const named = (nodes: readonly Seen[]) => nodes.map(({ host, pid }) => `${host} (pid ${pid})`).join(', ')
    const without = living.filter(({ shares }) => shares === 'nothing')
    if (!redis && without.length === living.length)
      return `nodes: ${count()} share this Postgres and no Redis, this one and ${named(living)}: each admits 1/${count()} of every limit and budget; set one redis.url for all`
    if (!redis)
      return `nodes: this one has no redis.url, and shares this Postgres with ${named(living)}: limits do not hold over all; set the redis.url of the others here, too`
    if (without.length > 0)
      return `nodes: ${named(without)} on this Postgres without redis.url: limits do not hold over all; set ours there, too`
    // A node that died is longer in Postgres than in Redis.
    if (apart > MISSED + 1)
      return `nodes: ${sharing()} share this Postgres, and not all of them this Redis: limits do not hold over all; set the same redis.url for this one and ${named(living)}`
    return undefined
  }

  // Never two at once; what is heard during one may have been missed by it.
  async function begin(counting: boolean): Promise<void> {
    if (closed || quiet) return
    if (beating) return void (missedOne = true)
    beating = round(counting)
    try {
      await beating
    } finally {
      beating = undefined
    }
    if (!missedOne) return
    missedOne = false
    await begin(false)
  }
  // Postgres is away: others say so, and what was known last goes on.
  const again = (counting: boolean) => void begin(counting).catch(() => {})

  await ears.hear(NODES, payload => {
    if (payload === undefined) return
    // Somebody came to the embedded Postgres of this data_dir from elsewhere.
    if (payload !== '') quiet = false
    again(false)
  })
  if (!quiet) {
    await enter(db, row())
    await begin(true)
  }
  const timer = setInterval(again, beatMs, true).unref()

  return {
    first: Math.max(count(), redis ? (known ?? 1) : 1),
    follow(followed) {
      store = followed
      store.reckon(reckoned())
      again(false)
    },
    trouble,
    view: () => [{ ...shown(row()), this: true }, ...others().map(one => ({ ...shown(one), this: false }))],
    async close() {
      closed = true
      clearInterval(timer)
      if (quiet) return
      await within(
        LEAVE_MS,
        Promise.resolve(beating)
          .catch(() => {})
          .then(() => leave(db, id)),
      ).catch(() => {})
    },
  }
}

const shown = ({ host, pid, version, shares }: NodeRow) => ({ name: host, pid, version, shares })

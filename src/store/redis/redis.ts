// What is shared, in Redis: each call is one script, those of one moment are one trip; who calls copes with failure.
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { Cluster, type Redis } from 'ioredis'
import { KEEP_MS } from '../purses.ts'
import { type Change, type Draw, PROCESSES, type Purse, type Want } from '../store.ts'
import { Call, type Send, sendByTag, sendTogether } from './call.ts'
import { type Client, createClient } from './connect.ts'
import { Epoch, type Later } from './epoch.ts'
import { NO_EVICTION } from './eviction.ts'
import { type Judged, readPurse, readReserved, writeChange } from './purse.ts'

/** Shared state as far as one server can give it. Limits and times as in `Store`; lists are of calls that are not too much at once. */
export interface RedisShare {
  /**
   * Sends calls as one; on one server they are run in that order. May fail or hang, and then some may have been run.
   * @throws MendFirst when Redis lost its memory, and nothing was run
   */
  run<T>(calls: readonly Call<T>[]): Promise<T[]>
  /**
   * Comes to know the memory that Redis has; this also shows that it can be written to. True when it is another one than
   * this process knew: then nobody new is let in before `others` have come back, too, or 5 s have passed. `guests`: how many
   * others to reckon with where no names are known. A cluster's memory is not known.
   */
  meet(me: string, others: readonly string[], guests: number): Promise<boolean>
  /** This process has put back what it holds. */
  back(me: string): Promise<unknown>
  /** All have. */
  settled(): Promise<boolean>
  /** A process is alive; said once a second. */
  beat(me: string): Call<true>
  /** After the process's own place was given back: if it was the last, nothing is left behind. */
  leave(): Call<true>
  /** What it does when its memory is full, in its own words; undefined when it does not say. */
  policy(): Promise<string | undefined>
  /**
   * `own`: how many leases of the key are known to be this process's; `missing`: Redis has fewer, put them back and ask again.
   * `loses`: unless somebody took them away, the memory is lost with them, and all put back theirs.
   */
  acquire(key: string, holder: string, limit: number, ttlMs: number, own: number, loses: boolean): Call<Taken>
  /** Writes leases down as facts, beyond any limit. */
  put(key: string, leases: readonly { holder: string; leftMs: number }[]): Call<true>[]
  /** The holders whose lease was gone. `mend`: they are known to be alive, and are put back unless somebody took the place away. */
  renew(key: string, holders: readonly string[], ttlMs: number, mend: boolean): Call<string[]>[]
  /** The places of these, another process's, are taken away: it will not put them back. */
  deprive(key: string, holders: readonly string[]): Call<true>[]
  /** How many places came free. */
  release(key: string, holders: readonly string[]): Call<number>[]
  held(keys: readonly string[]): Call<number[]>
  holders(key: string): Call<{ holder: string; leftMs: number }[]>
  /** Whoever gives back one of these within `WANT_MS` says so; who was refused a place need not ask. */
  want(keys: readonly string[]): Call<true>
  get(keys: readonly string[]): Call<(string | undefined)[]>
  set(key: string, value: string, ttlMs: number): Call<true>
  /** The same, unless there is one. */
  keep(key: string, value: string, ttlMs: number): Call<true>
  delete(keys: readonly string[]): Call<true>
  /** With what Redis knows of the buckets, when it said yes. */
  reserve(key: string, holder: string, wants: readonly Want[], ttlMs: number): Call<Judged | Later>
  /** `mend` after a silence: what Redis knows is brought up to date, but no bucket becomes known by it. */
  record(key: string, change: Change, mend?: boolean): Call<true>[]
  /** As it is written there: what has expired goes with the next `record`. */
  purse(key: string): Call<Purse>
  /** `anyhow`: taken whatever the level is. */
  take(key: string, wants: readonly Draw[], anyhow?: boolean): Call<Drawn | Later>
  /** There is no more than these amounts. */
  level(key: string, levels: readonly Draw[]): Call<true>
  /** Waits for the first connection, at most `withinMs`; afterwards it is kept up without help. */
  connect(withinMs: number): Promise<void>
  /** Hangs up a connection that says nothing any more; one that is being made is left alone. */
  hangUp(): void
  /** Why there is no connection, if the client has said so. */
  lastError(): string | undefined
  close(): void
}

export type Taken = 'held' | 'full' | 'missing' | Later

/** What came of drawing from token buckets. */
export interface Drawn {
  /** 0: taken; else ms, as in `Store` */
  waitMs: number
  /** what is left in each; none when it was not taken */
  levels: number[]
}

export interface RedisShareOptions {
  url: string
  /** whom to trust about the server's certificate, as PEM; default: whom everybody trusts */
  ca?: string | undefined
  /** begins every key and the channel; default `gw:` */
  prefix?: string
  /** hears keys whose places another process gave back */
  onFreed: (key: string) => void
  /** hears that the connection is lost */
  onLost: () => void
}

/** How long after somebody wanted a place, or was refused it, others say when they give it back. */
export const WANT_MS = 10_000

/** How long it is remembered whose place was taken away: he hears of it when he renews. */
const DEPRIVED_MS = 60_000

/** Holders a call has at most: one call must not stop the server for long. */
const BATCH = 500

const scripts = [
  ...['meet', 'back', 'settled', 'beat', 'leave'],
  ...['acquire', 'put', 'renew', 'release', 'deprive', 'held', 'holders', 'want'],
  ...['get', 'set', 'keep', 'delete', 'purse', 'fields', 'rate'],
]
const read = (name: string) => readFileSync(new URL(`${name}.lua`, import.meta.url), 'utf8')

function runScript(): string {
  const all = scripts.map(name => `scripts['${name}'] = function(KEYS, ARGV)\n${read(name)}end\n`)
  return read('run').replace('-- (the scripts)\n', () => all.join(''))
}

/** `gwRun`, as ioredis makes it: how many keys there are, the keys, the calls, the epoch. */
type Run = (keys: number, ...keysAndMore: string[]) => Promise<unknown[] | ''>

/** A share in the Redis at `url`; nothing happens before `connect`. @throws TypeError when the URL cannot be read */
export function openRedis({ url, ca, prefix = 'gw:', onFreed, onLost }: RedisShareOptions): RedisShare {
  const client = createClient(url, { gwRun: { lua: runScript() } }, ca) as Client & { gwRun: Run }
  const ears = createClient(url, {}, ca)
  // The braces are Redis Cluster's hash tag: all there is about one key lives on one node.
  const leases = (key: string) => `${prefix}lease:{${key}}`
  const value = (key: string) => `${prefix}value:{${key}}`
  const purse = (key: string) => `${prefix}purse:{${key}}`
  const rate = (key: string) => `${prefix}rate:{${key}}`
  const mark = (key: string) => `${prefix}wanted:{${key}}`
  const deprived = (key: string) => `${prefix}deprived:{${key}}`
  const channel = `${prefix}freed`
  // A process hears its own releases without Redis; the signature tells it which messages those are.
  const signature = `${randomBytes(8).toString('hex')} `
  let error: string | undefined
  let heard = (_: unknown) => {}

  // Without a listener ioredis writes its errors to stderr.
  const onError = (cause: Error & { errors?: Error[] }) => {
    const said = cause.message || cause.errors?.map(inner => inner.message).join(', ') || cause.name
    error = said === 'Command timed out' ? 'connected, but it does not answer' : said
  }
  client.on('error', onError)
  client.on('node error', onError)
  // A server of a cluster that is only being connected fails its callers: not when it is first needed, then, and not
  // while the client itself is asking for the first time.
  client.on('+node', (server: Redis) => client.status === 'ready' && void reach(server))
  client.on('ready', () => {
    error = undefined
    epoch.connected()
  })
  client.on('close', onLost)
  ears.on('error', () => {})
  ears.on('ready', () => {
    ears.subscribe(channel).then(heard, () => ears.status === 'ready' && ears.disconnect(true))
  })
  ears.on('message', (_channel: string, message: string) => {
    if (!message.startsWith(signature)) onFreed(message.slice(message.indexOf(' ') + 1))
  })

  const change = <T>(key: string, flat: (string | number)[], read: (answer: never) => T) =>
    new Call('purse', [key], [purse(key), `${prefix}purse-ends:{${key}}`], [KEEP_MS, ...flat], read)
  const sendAnyhow: Send = (keys, calls) => client.gwRun(keys.length, ...keys, calls, '*') as Promise<unknown[]>
  const epoch = new Epoch({
    key: kind => `${prefix}${kind}:{${PROCESSES}}`,
    send: sendAnyhow,
    message: [channel, signature + PROCESSES],
  })
  const send: Send =
    client instanceof Cluster
      ? sendAnyhow
      : (keys, calls) =>
          client.gwRun(keys.length + 1, ...keys, epoch.key, calls, epoch.id).then(answers => epoch.known(answers))
  const run: RedisShare['run'] = calls =>
    client instanceof Cluster ? sendByTag(calls, send) : sendTogether(calls, send)

  return {
    run,
    async meet(me, others, guests) {
      if (!(client instanceof Cluster)) return epoch.meet(me, others, guests, randomBytes(8).toString('hex'))
      await run([new Call('want', [PROCESSES], [mark(PROCESSES)], [WANT_MS], done)])
      return false
    },
    back: async me => client instanceof Cluster || run([epoch.back(me)]),
    settled: async () => client instanceof Cluster || (await run([epoch.settled()]))[0]!,
    beat: me => epoch.beat(me),
    leave: () => epoch.leave(),
    async policy() {
      const servers = client instanceof Cluster ? client.nodes('master') : [client]
      const said = await Promise.all(servers.map(server => server.info('memory').catch(() => '')))
      const policies = said.flatMap(info => /^maxmemory_policy:([\w-]+)/m.exec(info)?.[1] ?? [])
      return policies.find(policy => policy !== NO_EVICTION) ?? policies[0]
    },
    acquire: (key, holder, limit, ttlMs, own, loses) =>
      new Call(
        'acquire',
        [key],
        [leases(key), mark(key), deprived(key)],
        [holder, limit, Math.ceil(ttlMs), WANT_MS, own, loses ? 1 : 0],
        (answer: number) => TAKEN[answer + 2]!,
      ),
    put: (key, held) =>
      batches(held).map(part => {
        const flat = part.flatMap(lease => [lease.holder, Math.ceil(lease.leftMs)])
        return new Call('put', [key], [leases(key), deprived(key)], flat, done)
      }),
    renew: (key, holders, ttlMs, mend) =>
      batches(holders).map(part => {
        const args = [Math.ceil(ttlMs), mend ? 1 : 0, ...part]
        return new Call('renew', [key], [leases(key), deprived(key)], args, same<string[]>)
      }),
    deprive: (key, holders) =>
      batches(holders).map(part => new Call('deprive', [key], [deprived(key)], [DEPRIVED_MS, ...part], done)),
    release: (key, holders) =>
      batches(holders).map(
        part => new Call('release', [key], [leases(key), mark(key)], [channel, signature + key, ...part], same<number>),
      ),
    held: keys => new Call('held', keys, keys.map(leases), [], same<number[]>),
    holders: key => new Call('holders', [key], [leases(key)], [], readHolders),
    want: keys => new Call('want', keys, keys.map(mark), [WANT_MS], done),
    get: keys => new Call('get', keys, keys.map(value), [], readValues),
    set: (key, text, ttlMs) => new Call('set', [key], [value(key)], [text, Math.ceil(ttlMs)], done),
    keep: (key, text, ttlMs) => new Call('keep', [key], [value(key)], [text, Math.ceil(ttlMs)], done),
    delete: keys => new Call('delete', keys, keys.map(value), [], done),
    reserve(key, holder, wants, ttlMs) {
      const flat = writeChange({ holds: [{ holder, amounts: wants, ttlMs }] }, { wants })
      return change(key, flat, answer => readReserved(answer, wants))
    },
    record(key, { facts, holds = [], gone = [] }, mend) {
      // Where one step would take too long: what is counted twice for a moment does less harm than what is not counted.
      const steps =
        holds.length + gone.length <= BATCH
          ? [{ facts, holds, gone }]
          : [{ facts }, ...batches(holds).map(holds => ({ holds })), ...batches(gone).map(gone => ({ gone }))]
      return steps.map(step => change(key, writeChange(step, { mend }), done))
    },
    purse: key => new Call('fields', [key], [purse(key)], [], readPurse),
    take: (key, wants, anyhow = false) =>
      new Call('rate', [key], [rate(key)], [anyhow ? 1 : 0, ...writeDraws(wants)], readDrawn),
    level: (key, levels) => new Call('rate', [key], [rate(key)], [2, ...writeDraws(levels)], done),
    async connect(withinMs) {
      const subscribed = new Promise(resolve => (heard = resolve))
      ears.connect().catch(() => {})
      const up = client.connect().then(
        () => Promise.all([subscribed, ...(client instanceof Cluster ? client.nodes().map(reach) : [])]),
        () => {}, // said by an error event, and in better words
      )
      await Promise.race([up, wait(withinMs, undefined, { ref: false })])
    },
    hangUp() {
      for (const each of [client, ears]) if (each.status === 'ready') each.disconnect(true)
    },
    lastError: () => error,
    close() {
      client.off('close', onLost)
      client.disconnect()
      ears.disconnect()
    },
  }
}

/** Resolves when a server of the cluster answers, or will not. */
async function reach(server: Redis): Promise<void> {
  if (server.status === 'wait') await server.connect().catch(() => {})
  else if (server.status !== 'ready')
    await new Promise<void>(resolve => server.once('ready', resolve).once('end', resolve))
}

const done = (): true => true
/** Answers of `acquire.lua`, from -2. */
const TAKEN: readonly Taken[] = ['later', 'missing', 'full', 'held']
const writeDraws = (draws: readonly Draw[]) => draws.flatMap(draw => [draw.bucket, draw.amount, draw.perMinute])
const readDrawn = ([waitMs = 0, ...levels]: (number | string)[]): Drawn | Later =>
  waitMs === -1 ? 'later' : { waitMs: Number(waitMs), levels: levels.map(Number) }
const same = <T>(answer: T) => answer
const readValues = (values: (string | null)[]) => values.map(value => value ?? undefined)
const readHolders = (flat: (string | number)[]) =>
  batches(flat, 2).map(([holder, leftMs]) => ({ holder: String(holder), leftMs: Number(leftMs) }))

function batches<T>(all: readonly T[], size = BATCH): (readonly T[])[] {
  if (all.length <= size) return all.length === 0 ? [] : [all]
  const parts: T[][] = []
  for (let i = 0; i < all.length; i += size) parts.push(all.slice(i, i + size))
  return parts
}

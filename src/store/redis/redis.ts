// What is shared, in Redis: each call is one script, those of one moment are one trip; who calls copes with failure.
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { Cluster, type Redis } from 'ioredis'
import { KEEP_MS } from '../purses.ts'
import type { Change, Draw, Purse, Want } from '../store.ts'
import { Call, type Send, sendByTag, sendTogether } from './call.ts'
import { type Client, createClient } from './connect.ts'
import { type Judged, readPurse, readReserved, writeChange } from './purse.ts'

/** Shared state as far as one server can give it. Limits and times as in `Store`; lists are of calls that are not too much at once. */
export interface RedisShare {
  /** Sends calls as one; on one server they are run in that order. May fail or hang, and then some may have been run. */
  run<T>(calls: readonly Call<T>[]): Promise<T[]>
  acquire(key: string, holder: string, limit: number, ttlMs: number): Call<boolean>
  /** Writes leases down as facts, beyond any limit. */
  put(key: string, leases: readonly { holder: string; leftMs: number }[]): Call<true>[]
  /** The holders whose lease was gone. */
  renew(key: string, holders: readonly string[], ttlMs: number): Call<string[]>[]
  /** How many places came free. */
  release(key: string, holders: readonly string[]): Call<number>[]
  held(keys: readonly string[]): Call<number[]>
  holders(key: string): Call<{ holder: string; leftMs: number }[]>
  /** Whoever gives back one of these within `WANT_MS` says so; who was refused a place need not ask. */
  want(keys: readonly string[]): Call<true>
  get(keys: readonly string[]): Call<(string | undefined)[]>
  set(key: string, value: string, ttlMs: number): Call<true>
  delete(keys: readonly string[]): Call<true>
  /** With what Redis knows of the buckets, when it said yes. */
  reserve(key: string, holder: string, wants: readonly Want[], ttlMs: number): Call<Judged>
  /** `mend` after a silence: what Redis knows is brought up to date, but no bucket becomes known by it. */
  record(key: string, change: Change, mend?: boolean): Call<true>[]
  /** As it is written there: what has expired goes with the next `record`. */
  purse(key: string): Call<Purse>
  /** `anyhow`: taken whatever the level is. 0: taken; else ms, as in `Store`. */
  take(key: string, wants: readonly Draw[], anyhow?: boolean): Call<number>
  /** Waits for the first connection, at most `withinMs`; afterwards it is kept up without help. */
  connect(withinMs: number): Promise<void>
  /** Hangs up a connection that says nothing any more; one that is being made is left alone. */
  hangUp(): void
  /** Why there is no connection, if the client has said so. */
  lastError(): string | undefined
  close(): void
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

/** Holders a call has at most: one call must not stop the server for long. */
const BATCH = 500

const scripts = [
  ...['acquire', 'put', 'renew', 'release', 'held', 'holders', 'want'],
  ...['get', 'set', 'delete', 'purse', 'fields', 'rate'],
]
const read = (name: string) => readFileSync(new URL(`${name}.lua`, import.meta.url), 'utf8')

function runScript(): string {
  const all = scripts.map(name => `scripts['${name}'] = function(KEYS, ARGV)\n${read(name)}end\n`)
  return read('run').replace('-- (the scripts)\n', () => all.join(''))
}

/** A share in the Redis at `url`; nothing happens before `connect`. @throws TypeError when the URL cannot be read */
export function openRedis({ url, ca, prefix = 'gw:', onFreed, onLost }: RedisShareOptions): RedisShare {
  const client = createClient(url, { gwRun: { lua: runScript() } }, ca) as Client & { gwRun: Send }
  const ears = createClient(url, {}, ca)
  // The braces are Redis Cluster's hash tag: all there is about one key lives on one node.
  const leases = (key: string) => `${prefix}lease:{${key}}`
  const value = (key: string) => `${prefix}value:{${key}}`
  const purse = (key: string) => `${prefix}purse:{${key}}`
  const rate = (key: string) => `${prefix}rate:{${key}}`
  const mark = (key: string) => `${prefix}wanted:{${key}}`
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
  client.on('ready', () => (error = undefined))
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
  const send: Send = (...flat) => client.gwRun(...flat)

  return {
    run: calls => (client instanceof Cluster ? sendByTag(calls, send) : sendTogether(calls, send)),
    acquire: (key, holder, limit, ttlMs) =>
      new Call('acquire', [key], [leases(key), mark(key)], [holder, limit, Math.ceil(ttlMs), WANT_MS], isOne),
    put: (key, held) =>
      batches(held).map(part => {
        const flat = part.flatMap(lease => [lease.holder, Math.ceil(lease.leftMs)])
        return new Call('put', [key], [leases(key)], flat, done)
      }),
    renew: (key, holders, ttlMs) =>
      batches(holders).map(
        part => new Call('renew', [key], [leases(key)], [Math.ceil(ttlMs), ...part], same<string[]>),
      ),
    release: (key, holders) =>
      batches(holders).map(
        part => new Call('release', [key], [leases(key), mark(key)], [channel, signature + key, ...part], same<number>),
      ),
    held: keys => new Call('held', keys, keys.map(leases), [], same<number[]>),
    holders: key => new Call('holders', [key], [leases(key)], [], readHolders),
    want: keys => new Call('want', keys, keys.map(mark), [WANT_MS], done),
    get: keys => new Call('get', keys, keys.map(value), [], readValues),
    set: (key, text, ttlMs) => new Call('set', [key], [value(key)], [text, Math.ceil(ttlMs)], done),
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
    take(key, wants, anyhow = false) {
      const flat = wants.flatMap(want => [want.bucket, want.amount, want.perMinute])
      return new Call('rate', [key], [rate(key)], [anyhow ? 1 : 0, ...flat], same<number>)
    },
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
const isOne = (answer: number) => answer === 1
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

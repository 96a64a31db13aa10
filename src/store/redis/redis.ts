// What is shared, in Redis: one script, one key, one trip each; who calls copes with failure.
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { KEEP_MS } from '../purses.ts'
import type { Change, Draw, Purse, Want } from '../store.ts'
import { type Client, createClient } from './connect.ts'
import { type Judged, readPurse, readReserved, writeChange } from './purse.ts'

/** Shared state as far as one server can give it: every call may fail or hang. Limits and times as in `Store`. */
export interface RedisShare {
  acquire(key: string, holder: string, limit: number, ttlMs: number): Promise<boolean>
  /** Writes leases down as facts, beyond any limit. */
  put(key: string, leases: readonly { holder: string; leftMs: number }[]): Promise<void>
  /** Returns the holders whose lease was gone. */
  renew(key: string, holders: readonly string[], ttlMs: number): Promise<string[]>
  /** Returns how many places came free. */
  release(key: string, holders: readonly string[]): Promise<number>
  held(key: string): Promise<number>
  holders(key: string): Promise<{ holder: string; leftMs: number }[]>
  get(key: string): Promise<string | undefined>
  set(key: string, value: string, ttlMs: number): Promise<void>
  delete(key: string): Promise<void>
  /** With what Redis knows of the buckets, when it said yes. */
  reserve(key: string, holder: string, wants: readonly Want[], ttlMs: number): Promise<Judged>
  /** `mend` after a silence: what Redis knows is brought up to date, but no bucket becomes known by it. */
  record(key: string, change: Change, mend?: boolean): Promise<void>
  purse(key: string): Promise<Purse>
  take(key: string, wants: readonly Draw[]): Promise<number>
  give(key: string, bucket: string, amount: number, perMinute: number): Promise<void>
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
  /** begins every key and the channel; default `gw:` */
  prefix?: string
  /** hears keys whose places another process gave back */
  onFreed: (key: string) => void
  /** hears that the connection is lost */
  onLost: () => void
}

type Script<T> = (key: string, ...args: (string | number)[]) => Promise<T>
interface Scripts {
  gwAcquire: Script<0 | 1>
  gwPut: Script<0>
  gwRenew: Script<string[]>
  gwRelease: Script<number>
  gwHeld: Script<number>
  gwHolders: Script<(string | number)[]>
  gwPurse: (purse: string, ends: string, change: string, keepMs: number) => Promise<(string | null)[]>
  gwRate: Script<number>
}

/** Holders a script call takes at most: many are no problem, but one call must not stop the server for long. */
const BATCH = 500

const script = (name: string, numberOfKeys = 1) => ({
  lua: readFileSync(new URL(`${name}.lua`, import.meta.url), 'utf8'),
  numberOfKeys,
})

/** A share in the Redis at `url`; nothing happens before `connect`. @throws TypeError when the URL cannot be read */
export function openRedis({ url, prefix = 'gw:', onFreed, onLost }: RedisShareOptions): RedisShare {
  const client = createClient(url, {
    gwAcquire: script('acquire'),
    gwPut: script('put'),
    gwRenew: script('renew'),
    gwRelease: script('release'),
    gwHeld: script('held'),
    gwHolders: script('holders'),
    gwPurse: script('purse', 2),
    gwRate: script('rate'),
  }) as Client & Scripts
  const ears = createClient(url, {})
  // The braces are Redis Cluster's hash tag: all there is about one key lives on one node.
  const leases = (key: string) => `${prefix}lease:{${key}}`
  const value = (key: string) => `${prefix}value:{${key}}`
  const purse = (key: string) => `${prefix}purse:{${key}}`
  const rate = (key: string) => `${prefix}rate:{${key}}`
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
  client.on('ready', () => (error = undefined))
  client.on('close', onLost)
  ears.on('error', () => {})
  ears.on('ready', () => {
    ears.subscribe(channel).then(heard, () => ears.status === 'ready' && ears.disconnect(true))
  })
  ears.on('message', (_channel: string, message: string) => {
    if (!message.startsWith(signature)) onFreed(message.slice(message.indexOf(' ') + 1))
  })

  const change = (key: string, json: string) =>
    client.gwPurse(purse(key), `${prefix}purse-ends:{${key}}`, json, KEEP_MS)

  return {
    async acquire(key, holder, limit, ttlMs) {
      return (await client.gwAcquire(leases(key), holder, limit, Math.ceil(ttlMs))) === 1
    },
    async put(key, held) {
      const flat = (part: typeof held) => part.flatMap(lease => [lease.holder, Math.ceil(lease.leftMs)])
      await Promise.all(batches(held).map(part => client.gwPut(leases(key), ...flat(part))))
    },
    async renew(key, holders, ttlMs) {
      const gone = batches(holders).map(part => client.gwRenew(leases(key), Math.ceil(ttlMs), ...part))
      return (await Promise.all(gone)).flat()
    },
    async release(key, holders) {
      const freed = batches(holders).map(part => client.gwRelease(leases(key), channel, signature + key, ...part))
      return (await Promise.all(freed)).reduce((sum, count) => sum + count, 0)
    },
    held: key => client.gwHeld(leases(key)),
    async holders(key) {
      const flat = await client.gwHolders(leases(key))
      return batches(flat, 2).map(([holder, leftMs]) => ({ holder: String(holder), leftMs: Number(leftMs) }))
    },
    get: async key => (await client.get(value(key))) ?? undefined,
    async set(key, text, ttlMs) {
      await client.set(value(key), text, 'PX', Math.ceil(ttlMs))
    },
    async delete(key) {
      await client.unlink(value(key))
    },
    async reserve(key, holder, wants, ttlMs) {
      const hold = { holder, amounts: wants, ttlMs }
      return readReserved(await change(key, writeChange({ holds: [hold] }, { wants })), wants)
    },
    async record(key, { facts, holds = [], gone = [] }, mend) {
      // Where one step would take too long: what is counted twice for a moment does less harm than what is not counted.
      const steps =
        holds.length + gone.length <= BATCH
          ? [{ facts, holds, gone }]
          : [{ facts }, ...batches(holds).map(holds => ({ holds })), ...batches(gone).map(gone => ({ gone }))]
      await Promise.all(steps.map(step => change(key, writeChange(step, { mend }))))
    },
    async purse(key) {
      await change(key, '{}') // what has expired goes
      return readPurse(await client.hgetall(purse(key)))
    },
    async take(key, wants) {
      const flat = wants.flatMap(want => [want.bucket, want.amount, want.perMinute])
      return client.gwRate(rate(key), 0, ...flat)
    },
    async give(key, bucket, amount, perMinute) {
      await client.gwRate(rate(key), 1, bucket, -amount, perMinute)
    },
    async connect(withinMs) {
      const subscribed = new Promise(resolve => (heard = resolve))
      ears.connect().catch(() => {})
      const up = client.connect().then(
        () => subscribed,
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

function batches<T>(all: readonly T[], size = BATCH): (readonly T[])[] {
  if (all.length <= size) return all.length === 0 ? [] : [all]
  const parts: T[][] = []
  for (let i = 0; i < all.length; i += size) parts.push(all.slice(i, i + size))
  return parts
}

// Chooses the store: memory for one process, Redis for many.

import { authorityIn } from '../lib/certificate.ts'
import { MemoryStore } from './memory.ts'
import type { Store } from './store.ts'

export interface StoreOptions {
  /** where processes share, see `createClient` for its forms; undefined: this process is alone */
  redisUrl?: string | undefined
  /** file of the authority that signed its certificate */
  redisCa?: string | undefined
  /** names this process among those that share; no other may use it at the same time */
  processId: string
  /** how many processes to reckon with when Redis is silent from the start; default 1 */
  processes?: number
  /** how many others are known to live now: when Redis is empty they are waited for, with what they hold; default none */
  others?: number
  /** begins every key in Redis; default `gw:` */
  prefix?: string
  /** ms, for leases in this process; default the monotonic clock, which no change of the date can move */
  now?: () => number
  log: (level: 'info' | 'warn', line: string) => void
}

/**
 * Opens the store. A Redis that does not answer does not stop the start: it is the same as one that falls silent later.
 * @throws TypeError when `redisUrl` cannot be read, Refusal when the file cannot, or is none
 */
export async function createStore(options: StoreOptions): Promise<Store> {
  const { redisUrl: url, redisCa, prefix, ...rest } = options
  if (url === undefined) return new MemoryStore(options.now)
  const [{ SharingStore }, { openRedis }] = await Promise.all([import('./sharing.ts'), import('./redis/redis.ts')])
  const ca = redisCa === undefined ? undefined : authorityIn('redis.ca_file', redisCa)
  return SharingStore.open({ ...rest, redis: events => openRedis({ url, ca, ...(prefix && { prefix }), ...events }) })
}

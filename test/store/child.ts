// A process of its own with a store in it, for tests that stop and kill: does as its parent says, over IPC.
import { createStore } from '../../src/store/open.ts'

const [redisUrl, processId = ''] = process.argv.slice(2)
if (!redisUrl) process.exit() // `tap test/store` runs every file there is
const store = await createStore({ redisUrl, processId, log() {} })

/** Take `places` places on `key` for `ttlMs`; or renew them all. The answer is how many were got, or lost. */
export type Order = { do: 'take' | 'renew'; key: string; places: number; ttlMs: number }

process.on('message', async (order: Order) => {
  const leases = Array.from({ length: order.places }, (_, i) => ({ key: order.key, holder: `${processId}:${i}` }))
  if (order.do === 'renew') return process.send!((await store.renew(leases, order.ttlMs)).length)
  const taken = leases.map(({ key, holder }) => store.acquire(key, holder, order.places, order.ttlMs))
  process.send!((await Promise.all(taken)).filter(Boolean).length)
})
process.on('disconnect', () => process.exit())
process.send!('ready')

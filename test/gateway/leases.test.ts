// The places a process holds: renewed while it lives, and not believed in when they expired.
import t, { type Test } from 'tap'
import { createLeases } from '../../src/gateway/admit/leases.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { until } from '../helpers/redis.ts'

const TTL_MS = 30

function setUp(t: Test) {
  const clock = { now: 0 }
  const store = new MemoryStore(() => clock.now)
  const leases = createLeases({ store, processId: 'p', ttlMs: TTL_MS })
  t.teardown(() => {
    leases.close()
    return store.close()
  })
  const interrupted: string[] = []
  const owner = (name: string) => ({
    interrupt: (why: { code: string }) => void interrupted.push(`${name} ${why.code}`),
  })
  return { clock, store, leases, interrupted, owner }
}

t.test('many places are given back in any order, each once', async t => {
  const { store, leases } = setUp(t)
  const taken = await Promise.all(Array.from({ length: 100 }, (_, i) => leases.take('k', `${i}`, 100)))
  t.equal(await leases.take('k', 'late', 100), undefined)
  t.equal(leases.size(), 100)
  for (const i of [99, 0, 50, 50, 1, 98]) taken[i]!.release()
  t.equal(leases.size(), 95)
  t.strictSame(await store.held(['k']), [95])
  {
    using again = await leases.take('k', '50', 100)
    t.equal(again!.key, 'k')
    taken[50]!.release()
    t.equal(leases.size(), 96, 'a lease given back before is not this one')
  }
  for (const lease of taken) lease!.release()
  t.equal(leases.size(), 0)
  t.strictSame(await store.held(['k']), [0])
})

t.test('who lost its place is told; who finds it free again is not', async t => {
  const { clock, store, leases, interrupted, owner } = setUp(t)
  const lost = await leases.take('lost', 'a', 1, owner('lost'))
  const kept = await leases.take('kept', 'b', 1, owner('kept'))
  clock.now = TTL_MS + 1 // this process stood still
  t.ok(await store.acquire('lost', 'somebody else', 1, 1000))
  await until(t, 'it is told', () => interrupted.length > 0)
  t.strictSame(interrupted, ['lost LEASE_LOST'])
  t.equal(leases.size(), 1)
  lost!.release()
  t.strictSame(await store.held(['lost', 'kept']), [1, 1], 'the place is not given back by who lost it')
  kept!.release()
  t.strictSame(await store.held(['kept']), [0])
})

// The queue by itself: whose turn it is, who is asked at all, and what that costs when very many wait.
import t from 'tap'
import { FairQueue, type Waiting } from '../../src/gateway/admit/queue.ts'

/** Places by name, a queue for them, and who got one in which order. */
function desk(places: Record<string, number>) {
  const queue = new FairQueue<string>(key => places[key]!++)
  const served: string[] = []
  const cost = { wants: 0, attempts: 0 }
  const gone: Promise<unknown>[] = []
  const keysOf: Record<string, string[]> = {}
  function join(name: string, options: { flow?: number; weight?: number; pool?: string; skips?: string[] } = {}) {
    const { flow = 0, weight = 1, pool = 'a', skips = [] } = options
    const keys = keysOf[pool] ?? pool.split('+')
    const waiting: Waiting<string> = queue.join({
      flow,
      weight,
      pool,
      wants(key) {
        cost.wants++
        return keys.includes(key)
      },
      skips: key => skips.includes(key),
      async attempt(key) {
        cost.attempts++
        for (const one of key === undefined ? keys : [key])
          if (!skips.includes(one) && (places[one] ?? 0) > 0) {
            places[one]!--
            served.push(name)
            return one
          }
        return undefined
      },
    })
    gone.push(waiting.result.catch(error => error))
    return waiting
  }
  /** Gives places back and waits until all is quiet. */
  async function free(key: string, count = 1): Promise<void> {
    places[key] = (places[key] ?? 0) + count
    queue.offer(key)
    await new Promise(resolve => setImmediate(resolve))
  }
  return { queue, served, cost, join, free }
}

t.test('users take turns, twice the weight is twice the turns, and a user’s own come in order', async t => {
  const { queue, served, join, free } = desk({})
  for (let i = 0; i < 6; i++) join(`hog${i}`, { flow: 1 })
  for (let i = 0; i < 2; i++) join(`polite${i}`, { flow: 2 })
  for (let i = 0; i < 4; i++) join(`heavy${i}`, { flow: 3, weight: 2 })
  t.equal(queue.count(1), 6)
  for (let i = 0; i < 7; i++) await free('a')
  t.strictSame(served, ['hog0', 'polite0', 'heavy0', 'heavy1', 'hog1', 'polite1', 'heavy2'])
  t.equal(queue.count(1), 4)
  await free('a', 5)
  t.strictSame(served.slice(7), ['heavy3', 'hog2', 'hog3', 'hog4', 'hog5'], 'all places that came free are given')
  t.equal(queue.length, 0)
  t.equal(queue.count(1), 0)
})

t.test('what comes free is offered to those who want it, over pools in fair order', async t => {
  const { queue, served, cost, join, free } = desk({})
  join('first', { flow: 1, pool: 'a' })
  join('second', { flow: 2, pool: 'b' })
  join('third', { flow: 3, pool: 'a+b' })
  join('fourth', { flow: 4, pool: 'a+b', skips: ['b'] })
  t.strictSame(
    [...queue.spread(['a', 'b', 'c'])],
    [
      ['a', 3],
      ['b', 1],
    ],
    'each is counted once, at one of those it would take',
  )
  await free('b', 3)
  t.strictSame(served, ['second', 'third'])
  t.equal(cost.attempts, 2, 'and not to who skips it')
  await free('c')
  await free('a')
  t.strictSame(served, ['second', 'third', 'first'])
  await queue.retry()
  t.strictSame(served, ['second', 'third', 'first', 'fourth'].slice(0, 3), 'there is nothing left for the fourth')
})

t.test('who leaves is not served, and what was taken for it meanwhile is given back', async t => {
  const places = { a: 0 }
  const { queue, served, join, free } = desk(places)
  const leaver = join('leaver')
  join('stayer')
  places.a = 1
  queue.offer('a')
  leaver.leave(new Error('enough'))
  await t.rejects(leaver.result, /enough/)
  await new Promise(resolve => setImmediate(resolve))
  t.strictSame(served, ['leaver', 'stayer'])
  t.equal(queue.length, 0)
  t.equal(places.a, 0)
  await free('a')
  t.equal(places.a, 1, 'nobody is left to take it')
})

t.test('everybody looks again, pool by pool, until one finds nothing', async t => {
  const { queue, served, cost, join } = desk({ a: 2, b: 0 })
  for (let i = 0; i < 5; i++) {
    join(`a${i}`, { flow: 1, pool: 'a' })
    join(`b${i}`, { flow: 2, pool: 'b' })
  }
  await queue.retry()
  t.strictSame(served, ['a0', 'a1'])
  t.equal(cost.attempts, 4, 'two found a place, and one of each pool found none')
})

t.test('what came free while somebody was looking is not missed', async t => {
  const places = { a: 0 }
  const { queue, served, join } = desk(places)
  const busy = join('busy')
  busy.look() // sees nothing
  places.a = 1
  queue.offer('a') // while it is busy
  await new Promise(resolve => setImmediate(resolve))
  t.strictSame(served, ['busy'])
})

t.test('what an event costs does not grow with those who wait', async t => {
  const { queue, served, cost, join, free } = desk({})
  const waiters = 10_000
  for (let i = 0; i < waiters; i++) join(`${i}`, { flow: i % 100, pool: i % 2 ? 'a' : 'b' })
  for (let i = 0; i < 500; i++) await free('a')
  t.equal(served.length, 500)
  // For each place: one takes it, the next finds none; each time both pools are asked what they want.
  t.ok(cost.attempts <= 500 * 2, `${cost.attempts} attempts`)
  t.ok(cost.wants <= 500 * 8, `${cost.wants} looks at what a pool wants`)
  t.equal(queue.length, waiters - 500)
})

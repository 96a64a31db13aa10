// What every store promises, whatever it is made of.

import type { Test } from 'tap'
import type { Store } from '../../src/store/store.ts'
import { matchAll } from '../helpers/match.ts'
import { until } from '../helpers/redis.ts'

const LONG = 60_000
/** Long enough to be seen alive, short enough to wait for its end. */
const SHORT = 400

/**
 * Runs the contract. `make` gives fresh stores that share one state: one, or several that stand for several processes.
 * They are closed by who made them.
 */
export function storeContract(t: Test, make: (t: Test) => Promise<Store[]>): void {
  t.test('a limit is exact, however many ask at once and wherever', async t => {
    const stores = await make(t)
    const asked = Array.from({ length: 200 }, (_, i) => stores[i % stores.length]!.acquire('user:5', `r${i}`, 7, LONG))
    const answers = await Promise.all(asked)
    t.equal(answers.filter(Boolean).length, 7)
    for (const store of stores) t.same(await store.held(['user:5', 'user:6']), [7, 0])

    const [holder] = answers.flatMap((held, i) => (held ? [`r${i}`] : []))
    t.notOk(await stores[0]!.acquire('user:5', 'late', 7, LONG))
    await stores.at(-1)!.release([{ key: 'user:5', holder: holder! }])
    t.ok(await stores[0]!.acquire('user:5', 'late', 7, LONG), 'a place given back anywhere is free everywhere')
    t.ok(await stores[0]!.acquire('user:6', 'late', 7, LONG), 'other keys have limits of their own')
  })

  t.test('who holds a place holds it once, and keeps it when asking again', async t => {
    const [store] = await make(t)
    t.ok(await store!.acquire('k', 'a', 1, LONG))
    t.ok(await store!.acquire('k', 'a', 1, LONG))
    t.same(await store!.held(['k']), [1])
    t.notOk(await store!.acquire('k', 'b', 1, LONG))
    await store!.release([{ key: 'k', holder: 'a' }])
    t.same(await store!.held(['k']), [0], 'and gives it back once')
  })

  t.test('without a limit everybody gets a place, and is counted', async t => {
    const [store] = await make(t)
    for (const [i, limit] of [0, 0, -1].entries()) t.ok(await store!.acquire('k', `r${i}`, limit, LONG))
    t.same(await store!.held(['k']), [3])
    t.notOk(await store!.acquire('k', 'late', 3, LONG), 'a limit that comes later counts them')
    t.ok(await store!.acquire('k', 'late', 4, LONG))
  })

  t.test('giving back what nobody holds changes nothing', async t => {
    const [store] = await make(t)
    const heard: string[] = []
    store!.onFreed(key => heard.push(key))
    await store!.acquire('k', 'a', 1, LONG)
    await store!.release([])
    await store!.release([
      { key: 'k', holder: 'stranger' },
      { key: 'nowhere', holder: 'a' },
    ])
    t.same(await store!.held(['k', 'nowhere']), [1, 0])
    t.same(heard, [])
  })

  t.test('a lease that is not renewed gives its place back', async t => {
    const stores = await make(t)
    t.ok(await stores[0]!.acquire('k', 'a', 1, SHORT))
    t.notOk(await stores.at(-1)!.acquire('k', 'b', 1, LONG))
    await until(t, 'the place is free', () => stores.at(-1)!.acquire('k', 'b', 1, LONG))
    matchAll(t, await stores[0]!.holders(['k']), [{ holder: 'b' }])
  })

  t.test('asking again or renewing prolongs a lease', async t => {
    const [store] = await make(t)
    for (const holder of ['idle', 'asking', 'renewing']) await store!.acquire('k', holder, 3, SHORT)
    t.ok(await store!.acquire('k', 'asking', 3, LONG))
    t.same(await store!.renew([{ key: 'k', holder: 'renewing' }], LONG), [])
    await until(t, 'the idle one is gone', async () => (await store!.held(['k']))[0] === 2)
    t.same((await store!.holders(['k'])).map(lease => lease.holder).sort(), ['asking', 'renewing'])
  })

  t.test('renewing reports what was lost and takes nothing again', async t => {
    const [store] = await make(t)
    await store!.acquire('k', 'gone', 2, SHORT)
    await store!.acquire('k', 'here', 2, LONG)
    await store!.acquire('l', 'here', 2, LONG)
    await until(t, 'one is gone', async () => (await store!.held(['k']))[0] === 1)
    const lost = await store!.renew(
      [
        { key: 'k', holder: 'here' },
        { key: 'k', holder: 'gone' },
        { key: 'l', holder: 'here' },
        { key: 'l', holder: 'never' },
      ],
      LONG,
    )
    t.same(lost, [
      { key: 'k', holder: 'gone' },
      { key: 'l', holder: 'never' },
    ])
    t.same(await store!.held(['k', 'l']), [1, 1])
    t.same(await store!.renew([], LONG), [])
  })

  t.test('operators see who holds what, and for how long', async t => {
    const stores = await make(t)
    await stores[0]!.acquire('k', 'a', 0, LONG)
    await stores.at(-1)!.acquire('k', 'b', 0, LONG / 2)
    await stores[0]!.acquire('l', 'c d {e}', 0, LONG)
    for (const store of stores) {
      const seen = await store.holders(['k', 'none', 'l'])
      t.same(seen.map(({ key, holder }) => `${key} ${holder}`).sort(), ['k a', 'k b', 'l c d {e}'])
      for (const { holder, leftMs } of seen) t.ok(leftMs > 0 && leftMs <= (holder === 'b' ? LONG / 2 : LONG))
    }
  })

  t.test('values are read everywhere until they end', async t => {
    const stores = await make(t)
    const [here, there] = [stores[0]!, stores.at(-1)!]
    await here.set('a', 'änderung {"x":1}\n', LONG)
    await here.set('b', '', LONG)
    await here.set('c', 'short', SHORT)
    await here.acquire('a', 'a lease is no value', 0, LONG)
    t.same(await there.get(['a', 'none', 'b', 'c']), ['änderung {"x":1}\n', undefined, '', 'short'])
    await there.set('a', 'new', LONG)
    t.same(await here.get(['a']), ['new'])
    await until(t, 'the short one is over', async () => (await here.get(['c']))[0] === undefined)
    await there.delete(['a', 'c', 'none'])
    t.same(await here.get(['a', 'b', 'c']), [undefined, '', undefined])
    t.same(await here.get([]), [])
    t.same(await here.held(['a']), [1])
  })

  t.test('who wants a place hears once that it came free, the own process before release resolves', async t => {
    const stores = await make(t)
    const heard = stores.map(store => {
      const keys: string[] = []
      store.onFreed(key => keys.push(key))
      return keys
    })
    const deaf: string[] = []
    stores[0]!.onFreed(key => deaf.push(key))()
    const leases = ['a', 'a', 'b', 'last'].map((key, i) => ({ key, holder: `h${i}` }))
    for (const { key, holder } of leases) await stores[0]!.acquire(key, holder, 2, LONG)
    for (const store of stores) {
      store.want(['a', 'b'])
      store.want(['b', 'last'])
      t.same(await store.held(['a']), [2], 'which is no place taken')
    }

    const released = stores[0]!.release(leases.slice(0, 3))
    t.same(heard[0], ['a', 'b'], 'once for a key, however many places')
    await released
    await until(t, 'all have heard', () => heard.every(keys => keys.length >= 2))
    await stores[0]!.release(leases.slice(3))
    await until(t, 'all have heard the last', () => heard.every(keys => keys.includes('last')))
    for (const keys of heard) t.same(keys.sort(), ['a', 'b', 'last'])
    t.same(deaf, [], 'who has stopped listening hears nothing')
  })

  t.test('who was refused a place hears when it comes free, wherever', async t => {
    const stores = await make(t)
    const [here, there] = [stores[0]!, stores.at(-1)!]
    const heard: string[] = []
    there.onFreed(key => heard.push(key))
    await here.acquire('k', 'a', 1, LONG)
    const refused = there.acquire('k', 'b', 1, LONG)
    const released = here.release([{ key: 'k', holder: 'a' }])
    // Whichever was first: it has the place, or it hears of it.
    if (!(await refused)) await until(t, 'it hears', () => heard.includes('k'))
    await released
    await here.acquire('l', 'a', 1, LONG)
    t.notOk(await there.acquire('l', 'b', 1, LONG))
    await here.release([{ key: 'l', holder: 'a' }])
    await until(t, 'it hears', () => heard.includes('l'))
    t.ok(await there.acquire('l', 'b', 1, LONG))
  })

  t.test('who waits for a place has it before who comes later', async t => {
    const [store] = await make(t)
    await store!.acquire('k', 'first', 1, LONG)
    let waited: Promise<boolean> | undefined
    store!.onFreed(key => (waited ??= store!.acquire(key, 'waiter', 1, LONG)))
    const released = store!.release([{ key: 'k', holder: 'first' }])
    const late = store!.acquire('k', 'late', 1, LONG)
    await released
    t.same(await Promise.all([waited, late]), [true, false])
  })

  t.test('all is well when it is', async t => {
    for (const store of await make(t)) t.equal(store.trouble(), undefined)
  })
}

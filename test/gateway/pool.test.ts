// Large groups: what a request finds by looking at a few accounts is what it finds by looking at all.
import { randomInt } from 'node:crypto'
import t, { type Test } from 'tap'
import { type AccountFacts, modelMap } from '../../src/core/snapshot.ts'
import { loadOf, unhealthy } from '../../src/gateway/choose/available.ts'
import type { Veto } from '../../src/gateway/choose/health.ts'
import { FEW, findAccount, Pools } from '../../src/gateway/choose/pool.ts'
import { select } from '../../src/gateway/choose/select.ts'
import { gateway, hello, until } from '../helpers/gateway.ts'

const maps = [{}, { m1: 'up1' }, { 'm*': 'all-*' }, { other: 'x' }].map(modelMap)
const one = <T>(of: readonly T[]): T => of[randomInt(of.length)]!
const lease = { key: '', release() {}, [Symbol.dispose]() {} }

function account(id: number): AccountFacts {
  return {
    id,
    name: `a${id}`,
    platform: 'anthropic',
    type: 'apikey',
    baseUrl: null,
    dialect: 'auto',
    concurrency: one([0, 1, 2, 3, 10]),
    priority: one([1, 1, 2, 50]),
    status: one(['active', 'active', 'active', 'active', 'paused', 'error']),
    reason: null,
    models: one(maps),
    expiresAt: one([0, 0, 0, 500, 5_000]),
    interceptWarmup: false,
    mixed: false,
    proxy: null,
  }
}

t.test('the few that are found are the best of all, whatever happened before', async t => {
  let [shortened, waits] = [0, 0]
  for (let world = 0; world < 12; world++) {
    const pools = new Pools()
    const vetoes = new Map<number, Veto>()
    let accounts = Array.from({ length: one([5, 17, 40, 200]) }, (_, i) => account(i + 1))
    let held: { id: number; give(): void }[] = []
    const count = (id: number) => held.filter(place => place.id === id).length
    for (let step = 0; step < 150; step++) {
      const asked = {
        model: one(['m1', 'm2', 'other', 'none']),
        now: 1_000,
        veto: (id: number) => vetoes.get(id),
      }
      const excluded = new Set(Array.from({ length: one([0, 0, 3]) }, () => 1 + randomInt(accounts.length)))
      const facts = { ...asked, excluded, chosen: pools.chosen, sticky: undefined }
      const oracle = select({ ...facts, accounts, held: accounts.map(a => count(a.id)) })
      const list = pools.shortlist(1, accounts, asked, excluded)
      const found = select({ ...facts, accounts: list.accounts, held: list.accounts.map(a => count(a.id)) })
      const ids = (of: typeof oracle) => of.ranked.map(c => `${c.account.id} ${c.upstreamModel} ${c.load}`)
      // Those that were never chosen and are equal keep the order of ids in both.
      const same = t.strictSame(ids(found), ids(oracle).slice(0, list.accounts.length), 'the same, in the same order')
      const all = list.accounts.length === oracle.ranked.length || list.accounts.length === 8
      if (!same || !t.ok(all, 'as many as there are')) return
      if (oracle.ranked.length === 0 && !t.equal(list.waitable, oracle.waitable, 'waiting makes sense')) return
      if (oracle.ranked.length > 8) shortened++
      if (oracle.ranked.length === 0 && oracle.waitable) waits++
      // Now something happens.
      const [best] = found.ranked
      if (best && randomInt(4) > 0) {
        const place = pools.choose(best.account.id, lease)
        held.push({ id: best.account.id, give: () => place.release() })
      }
      if (held.length > 0 && randomInt(3) === 0) {
        const [gone] = held.splice(randomInt(held.length), 1)
        gone!.give()
        gone!.give()
      }
      const id = 1 + randomInt(accounts.length)
      if (randomInt(5) === 0)
        vetoes.set(id, { reason: 'out', until: 2_000, waitable: one([true, false]), class: one(['burst', undefined]) })
      if (randomInt(5) === 0) vetoes.delete(id)
      if (randomInt(6) === 0) {
        // A change: one account is another, leaves, or comes.
        const at = randomInt(accounts.length)
        const changed = accounts.length < 4 || randomInt(2) === 0 ? [account(accounts[at]!.id)] : []
        accounts = [...accounts.slice(0, at), ...changed, ...accounts.slice(at + 1)]
        if (randomInt(2) === 0) accounts = [...accounts, account((accounts.at(-1)?.id ?? 0) + 1)]
      }
    }
    for (const place of held) place.give()
    held = []
    for (const a of accounts) t.equal(pools.held(a.id), 0, 'every place was given back')
    pools.keep(new Map(), new Map())
    t.equal(accounts.filter(a => pools.chosen(a.id) > 0).length, 0, 'nothing is kept of groups that are gone')
  }
  t.ok(shortened > 50, `${shortened} times there were more than were looked at`)
  t.ok(waits > 0, `${waits} times all were taken`)
})

t.test('an account is found by its id, and its load is a share', async t => {
  const accounts = [2, 3, 7, 20].map(account)
  for (const id of [0, 1, 2, 3, 5, 7, 20, 21, Number.NaN])
    t.equal(findAccount(accounts, id)?.id, [2, 3, 7, 20].includes(id) ? id : undefined, String(id))
  t.equal(findAccount([], 1), undefined)
  t.equal(loadOf({ ...accounts[0]!, concurrency: 4 }, 1), 0.25)
  t.equal(loadOf({ ...accounts[0]!, concurrency: 0 }, 9), 0)
  t.match(unhealthy({ ...accounts[0]!, status: 'paused' }, { model: 'm', now: 0, veto: () => undefined }), {
    reason: 'paused',
  })
})

const many = FEW + 8

async function large(t: Test, more: object = {}) {
  const accounts = Array.from({ length: many }, (_, i) => ({ name: `a${i + 1}`, ...more }))
  return gateway(t, { accounts })
}

t.test('requests go round all accounts of a large group, and a session stays where it was', async t => {
  const gw = await large(t)
  // The beginning of a conversation names its session: these are different ones.
  const opening = (n: number) => hello({ messages: [{ role: 'user', content: `conversation ${n}` }] })
  for (let n = 0; n < many; n++) t.equal((await gw.send(opening(n))).status, 200)
  const served = () => gw.mock.stats().bodies.map(seen => seen.credential)
  t.equal(new Set(served()).size, many, 'each served one')

  const talk = () =>
    gw.send(
      hello({ metadata: { user_id: `user_${'a'.repeat(64)}_account__session_11111111-1111-1111-1111-111111111111` } }),
    )
  await talk()
  const home = served().at(-1)
  for (let n = 0; n < 3; n++) {
    await talk()
    t.equal(served().at(-1), home)
  }
})

t.test('a large group that is full makes wait, and who waits is served by what comes free', async t => {
  const gw = await large(t, { concurrency: 1, script: { hold: true } })
  const sent = Array.from({ length: many + 3 }, () => gw.send(hello()))
  await until(t, 'all are taken', () => gw.mock.stats().inFlight === many)
  await until(t, 'the others wait', () => gw.daemon.gateway.accountQueue.length === 3)
  const each = new Set(gw.mock.stats().bodies.map(seen => seen.credential))
  t.equal(each.size, many, 'one at each account')
  for (let n = 1; n <= many; n++) gw.mock.script(gw.credential(`a${n}`), {})
  for (let n = 1; n <= many; n++) gw.mock.release(gw.credential(`a${n}`))
  for (const reply of await Promise.all(sent)) t.equal(reply.status, 200)
})

t.test('a large group in which nobody serves the model says so by counts', async t => {
  const gw = await large(t, { models: { other: 'x' } })
  await gw.set.account('a1', { status: 'paused' })
  const reply = await gw.send(hello())
  t.equal(reply.status, 503)
  t.match(await reply.text(), new RegExp(`1 paused, ${many - 1} model not served`))
})

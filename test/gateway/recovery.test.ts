// The way back: who may try an account that was out, whose success counts, and who hears of it.
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { clearHealth, listHealth, saveHealth } from '../../src/core/record/health.ts'
import { watchClock } from '../../src/lib/clock.ts'
import type { Step } from '../../src/mock/step.ts'
import { gateway, hello, type TestGateway, until } from '../helpers/gateway.ts'

let conversations = 0
/** Each a conversation of its own: none is bound to an account. */
const fresh = (more: object = {}) =>
  hello({ messages: [{ role: 'user', content: `conversation ${++conversations}` }], ...more })
const limited = (seconds: number): Step => ({ status: 429, headers: { 'retry-after': `${seconds}` } })
// `a` is asked first.
const two = (a: Step[]) => ({
  accounts: [
    { name: 'a', priority: 1, script: a },
    { name: 'b', priority: 2 },
  ],
})
const asked = (gw: TestGateway, account: string) => gw.mock.stats(gw.credential(account)).requests
const idOf = (gw: TestGateway, name: string) =>
  [...gw.daemon.gateway.snapshot.accounts.values()].find(account => account.name === name)!.id
const view = async (gw: TestGateway, name: string) => (await gw.live()).accounts.find(account => account.name === name)!
const answered = async (t: Test, reply: Promise<Response>) => t.equal((await reply).status, 200)
// Not by its state, which is `available` too while only the model is out.
const backedOff = (t: Test, gw: TestGateway) => {
  const { health, now } = gw.daemon.gateway
  return until(t, 'it may be asked again', () => !health.veto(idOf(gw, 'a'), hello().model, now()))
}

t.test('the success of a request that was let in before the refusal opens nothing', async t => {
  const gw = await gateway(t, two([{ hold: 'start' }, limited(60), {}]))
  const before = gw.send(fresh({ stream: true }))
  await gw.mock.until(s => s.holding === 1)
  await answered(t, gw.send(fresh()))
  t.match(await view(gw, 'a'), { state: 'rate_limited' })
  gw.mock.release()
  t.match(await (await before).text(), 'message_stop')
  t.match(await view(gw, 'a'), { state: 'rate_limited' })
  await answered(t, gw.send(fresh()))
  t.equal(asked(gw, 'a'), 2, 'it is left in peace until the time it named')
})

t.test('one request alone tries', async t => {
  await t.test('while the others go elsewhere', async t => {
    const gw = await gateway(t, two([{ status: 429 }, { hold: 'start' }, {}]))
    await answered(t, gw.send(fresh()))
    await backedOff(t, gw)
    const canary = gw.send(fresh())
    await gw.mock.until(s => s.holding === 1)
    for (let i = 0; i < 5; i++) await answered(t, gw.send(fresh()))
    t.strictSame([asked(gw, 'a'), asked(gw, 'b')], [2, 6])
    gw.mock.release()
    await answered(t, canary)
    await answered(t, gw.send(fresh()))
    t.equal(asked(gw, 'a'), 3, 'its success has opened it')
  })

  await t.test('also when somebody leaves who had been let in before the refusal', async t => {
    const gw = await gateway(t, two([{ hold: 'start' }, { status: 429 }, { hold: 'start' }, {}]))
    const gone = new AbortController()
    const before = gw.send(fresh(), { signal: gone.signal }).catch(() => {})
    await gw.mock.until(s => s.holding === 1)
    await answered(t, gw.send(fresh()))
    await backedOff(t, gw)
    const canary = gw.send(fresh())
    await gw.mock.until(s => s.holding === 2)
    gone.abort()
    await before
    await until(t, 'it has left', () => gw.daemon.gateway.live.size === 1)
    await answered(t, gw.send(fresh()))
    t.equal(asked(gw, 'a'), 3)
    gw.mock.release()
    await answered(t, canary)
  })

  await t.test('and when it leaves, the next one does', async t => {
    const gw = await gateway(t, { accounts: [{ name: 'a', script: [{ status: 429 }, { hold: 'start' }, {}] }] })
    t.equal((await gw.send(fresh())).status, 429)
    await backedOff(t, gw)
    const gone = new AbortController()
    const canary = gw.send(fresh(), { signal: gone.signal }).catch(() => {})
    await gw.mock.until(s => s.holding === 1)
    const next = gw.send(fresh())
    await until(t, 'the next waits', async () => (await gw.live()).waiting === 1)
    gone.abort()
    await canary
    await answered(t, next)
  })
})

t.test('an overloaded model is named so, and a refused credential comes back when its time has come', async t => {
  for (const [script, state, reason] of [
    [{ status: 529 }, 'available', /^without \S+: overloaded$/],
    [{ status: 401, error: { message: 'try again' } }, 'ejected', /try again/],
  ] as [Step, string, RegExp][]) {
    const gw = await gateway(t, two([script, {}]))
    const { db } = gw.database
    await answered(t, gw.send(fresh()))
    t.match(await view(gw, 'a'), { state, reason })
    await until(t, 'it is stored', async () => (await listHealth(db, new Date())).length === 1)
    await db
      .updateTable('account_health')
      .set({ until: new Date(Date.now() - 1) })
      .execute()
    await backedOff(t, gw)
    await answered(t, gw.send(fresh()))
    t.equal(asked(gw, 'a'), 2)
    await until(t, 'it is forgotten', async () => (await listHealth(db, new Date())).length === 0)
  }
})

t.test('who waits is served when an ejection ends, by itself or by hand', async t => {
  for (const cleared of [false, true]) {
    const gw = await gateway(t, {
      accounts: [
        { name: 'a', priority: 1, script: [limited(cleared ? 600 : 2), {}] },
        { name: 'b', priority: 2, concurrency: 1, script: { hold: 'start' } },
      ],
    })
    const held = gw.send(fresh())
    await gw.mock.until(s => s.holding === 1)
    const waits = gw.send(fresh())
    await until(t, 'it waits', async () => (await gw.live()).waiting === 1)
    if (cleared) {
      // An ejection that is stored after it was cleared would be a new one.
      const { db } = gw.database
      await until(t, 'the ejection is stored', async () => (await listHealth(db, new Date())).length === 1)
      await clearHealth(db, idOf(gw, 'a'))
    }
    await answered(t, waits)
    t.equal(gw.mock.stats().holding, 1, 'without anything being given back')
    gw.mock.release()
    await answered(t, held)
  }
})

t.test('nobody is out for longer than was decided, when the clock of the machine is set back an hour', async t => {
  let ahead = 3_600_000
  const now = () => Date.now() + ahead
  const gw = await gateway(t, { now, ...two([limited(3), {}]) })
  const { db } = gw.database
  const id = idOf(gw, 'a')
  const { health } = gw.daemon.gateway
  const leftMs = () => Math.max(0, ...health.ailments(id).map(one => one.until - now()))
  await answered(t, gw.send(fresh()))
  const stored = () => db.selectFrom('account_health').selectAll().executeTakeFirst()
  await until(t, 'it is stored', async () => (await stored()) !== undefined)
  t.ok(leftMs() > 0)

  ahead = 0
  await until(t, 'that is seen', () => leftMs() <= 3_000)
  // What the table says is an hour too late, and is read again whenever another account changes.
  const row = await stored()
  t.ok(row!.until.getTime() - now() > 3_000_000)
  await sql`notify gw_health`.execute(db)
  await sql`update account_health set reason = 'read again'`.execute(db)
  await until(
    t,
    'it is read again',
    () => health.ailments(id).some(one => one.reason === 'read again') || leftMs() === 0,
  )
  t.ok(leftMs() <= 3_000)
  t.ok(
    (await listHealth(db, new Date(now()))).every(one => one.until.getTime() - now() <= 3_000),
    'by whoever starts now, too',
  )
  await until(t, 'it may be asked again', () => leftMs() === 0)
  await answered(t, gw.send(fresh()))
  t.equal(asked(gw, 'a'), 2)

  // A row of a later hour keeps nobody from storing what is known since.
  const ailment = { account_id: id, model: '', class: 'burst', reason: 'new', evidence: true, strikes: 1 }
  const at = (ms: number) => new Date(now() + ms)
  await saveHealth(db, { ...ailment, until: at(3_605_000), since: at(3_600_000), updated_at: at(3_600_000) })
  await saveHealth(db, { ...ailment, until: at(5_000), since: at(0), updated_at: at(0) })
  t.ok((await stored())!.until.getTime() < now() + 60_000)
})

t.test('a clock is seen to be set back, and nothing else of it', t => {
  let [wall, steady] = [1_000_000, 0]
  const heard: number[] = []
  const clock = watchClock({ wall: () => wall, steady: () => steady, back: byMs => heard.push(byMs) })
  t.teardown(clock.close)
  const pass = (ms: number, set = 0) => {
    steady += ms
    wall += ms + set
    clock.look()
  }
  pass(500)
  pass(500, -3_600_000)
  pass(500)
  pass(500, 86_400_000)
  pass(500, -5)
  pass(500, -86_400_000)
  t.strictSame(heard, [3_600_000, 86_400_000])
  t.end()
})

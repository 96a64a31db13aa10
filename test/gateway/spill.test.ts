// Spill-over: a session whose account is only full keeps it, however it came to be served elsewhere.
import t from 'tap'
import { gateway, hello, type Setup, type TestGateway, until } from '../helpers/gateway.ts'
import { redisMissing, redisServer } from '../helpers/redis.ts'

const turn = (gw: TestGateway, session: string) =>
  gw.send(hello(), { headers: { 'x-claude-code-session-id': session } })
const accountOf = async (gw: TestGateway, reply: Response) => {
  await reply.arrayBuffer()
  const id = reply.headers.get('x-upstream-request-id')
  return gw.mock.stats().bodies.find(seen => seen.id === id)!.credential
}
const pair = { accounts: ['a', 'b'].map(name => ({ name, concurrency: 1 })) } satisfies Setup
const idle = (gw: TestGateway) => until(t, 'all is given back', () => gw.daemon.gateway.leases.size() === 0)

t.test('after it has waited for any account', async t => {
  const gw = await gateway(t, pair)
  const home = await accountOf(gw, await turn(gw, 'mine'))
  const away = home === 'cred-a' ? 'cred-b' : 'cred-a'
  gw.mock.script('*', [{ hold: 'start' }, { hold: 'start' }, {}])
  const held = [turn(gw, 'another'), turn(gw, 'a third')]
  await gw.mock.until(s => s.holding === 2)
  const waits = turn(gw, 'mine')
  await until(t, 'it waits', async () => (await gw.live()).waiting === 1)
  gw.mock.release(away)
  t.equal(await accountOf(gw, await waits), away)
  t.equal(gw.mock.stats(home).holding, 1, 'its own account was full all the time')
  gw.mock.release()
  for (const reply of await Promise.all(held)) await reply.arrayBuffer()
  await idle(gw)
  t.equal(await accountOf(gw, await turn(gw, 'mine')), home)
})

// Over a store that takes its time, two can find the same place free.
t.test('when somebody took the place a moment before', { skip: await redisMissing() }, async t => {
  const redis = await redisServer(t)
  const gw = await gateway(t, { ...pair, config: { 'redis.url': redis.url } })
  const homes = new Map<string, string>()
  for (const session of ['1', '2', '3']) {
    homes.set(session, await accountOf(gw, await turn(gw, session)))
    await idle(gw)
  }
  t.equal(homes.get('1'), homes.get('3'), 'the accounts take turns')
  for (let round = 0; round < 10; round++) {
    const replies = await Promise.all([turn(gw, '1'), turn(gw, '3')])
    for (const reply of replies) await reply.arrayBuffer()
    await idle(gw)
    for (const session of ['1', '3']) {
      t.equal(await accountOf(gw, await turn(gw, session)), homes.get(session), `round ${round}`)
      await idle(gw)
    }
  }
})

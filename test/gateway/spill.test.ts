// Spill-over: a session whose account is only full keeps it, however it came to be served elsewhere.
import t from 'tap'
import { gateway, hello, type TestGateway, until } from '../helpers/gateway.ts'

const headers = { 'x-claude-code-session-id': 'one' }
const turn = (gw: TestGateway) => gw.send(hello(), { headers })
const elsewhere = (gw: TestGateway) => gw.send(hello({ messages: [{ role: 'user', content: 'another session' }] }))
const accountOf = async (gw: TestGateway, reply: Response) => {
  await reply.arrayBuffer()
  const id = reply.headers.get('x-upstream-request-id')
  return gw.mock.stats().bodies.find(seen => seen.id === id)!.credential
}
const pair = { accounts: ['a', 'b'].map(name => ({ name, concurrency: 1 })) }
const idle = (gw: TestGateway) => gw.mock.until(s => s.inFlight === 0)

t.test('after it has waited for any account', async t => {
  const gw = await gateway(t, pair)
  const home = await accountOf(gw, await turn(gw))
  const away = home === 'cred-a' ? 'cred-b' : 'cred-a'
  gw.mock.script('*', [{ hold: 'start' }, { hold: 'start' }, {}])
  const held = [turn(gw), elsewhere(gw)]
  await gw.mock.until(s => s.holding === 2)
  const waits = turn(gw)
  await until(t, 'it waits', async () => (await gw.live()).waiting === 1)
  gw.mock.release(away)
  t.equal(await accountOf(gw, await waits), away)
  t.equal(gw.mock.stats(home).holding, 1, 'its own account was full all the time')
  gw.mock.release()
  for (const reply of await Promise.all(held)) await reply.arrayBuffer()
  for (let i = 0; i < 3; i++) t.equal(await accountOf(gw, await turn(gw)), home)
})

t.test('when another turn took the last place a moment before', async t => {
  const gw = await gateway(t, pair)
  const home = await accountOf(gw, await turn(gw))
  for (let i = 0; i < 10; i++) {
    // Both find the place free, one gets it.
    const both = await Promise.all((await Promise.all([turn(gw), turn(gw)])).map(reply => accountOf(gw, reply)))
    t.strictSame(both.sort(), ['cred-a', 'cred-b'])
    await idle(gw)
    t.equal(await accountOf(gw, await turn(gw)), home, `round ${i}`)
    await idle(gw)
  }
})

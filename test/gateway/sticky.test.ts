// Sticky sessions: turns of a conversation find their warm account again, and nothing else is pinned.
import t from 'tap'
import { addGroup } from '../../src/core/record/group.ts'
import { createKey } from '../../src/core/record/key.ts'
import { forgetBindings } from '../../src/gateway/choose/sticky.ts'
import { gateway, hello, type TestGateway, until } from '../helpers/gateway.ts'

const four = ['a', 'b', 'c', 'd'].map(name => ({ name }))
const served = (gw: TestGateway) => gw.mock.stats().bodies.at(-1)!.credential
const turn = async (gw: TestGateway, body: object, options: Parameters<TestGateway['send']>[1] = {}) => {
  await (await gw.send(body, options)).text()
  return served(gw)
}

t.test('each way in which clients name a session keeps it on its account', async t => {
  const gw = await gateway(t, { accounts: four })
  const uuid = (n: number) => `00000000-0000-4000-8000-00000000000${n}`
  const system = 'You are a helpful assistant.'
  const ways: Record<string, (n: number, turn: number) => [object, Record<string, string>?]> = {
    'a header': (n, turn) => [
      hello({ messages: [{ role: 'user', content: `turn ${turn}` }] }),
      { 'x-claude-code-session-id': uuid(n) },
    ],
    'metadata.user_id, new form': (n, turn) => [
      hello({
        messages: [{ role: 'user', content: `turn ${turn}` }],
        metadata: { user_id: JSON.stringify({ device_id: 'd', session_id: uuid(n) }) },
      }),
    ],
    'metadata.user_id, old form': (n, turn) => [
      hello({
        messages: [{ role: 'user', content: `turn ${turn}` }],
        metadata: { user_id: `user_x_account__session_${uuid(n)}` },
      }),
    ],
    'the beginning': (n, turn) => [
      hello({
        system,
        messages: [
          { role: 'user', content: `session ${n}` },
          ...Array.from({ length: turn }, (_, i) => ({ role: i % 2 ? 'user' : 'assistant', content: `${i}` })),
        ],
      }),
    ],
  }
  for (const [way, make] of Object.entries(ways)) {
    const homes = new Map<number, string>()
    for (let round = 0; round < 4; round++)
      for (let n = 0; n < 4; n++) {
        const [body, headers] = make(n, round)
        const home = await turn(gw, body, headers ? { headers } : {})
        t.equal(home, homes.get(n) ?? home, `${way}: session ${n}, turn ${round}`)
        homes.set(n, home)
      }
    t.ok(new Set(homes.values()).size > 1, `${way}: sessions are spread`)
  }
})

t.test('a binding belongs to one key, group and model', async t => {
  const gw = await gateway(t, { accounts: four })
  const { db } = gw.database
  await addGroup(db, { name: 'other', platform: 'anthropic' })
  await gw.set.account('b', { groups: ['main', 'other'] })
  const { key } = await createKey(db, gw.secret, { user: 'alice', group: 'other', valuePrefix: 'sk-' })
  await until(t, 'the key is known', () => gw.daemon.gateway.snapshot.keyCount === 2)
  const headers = { 'x-claude-code-session-id': 'one-and-the-same' }
  const mine = await turn(gw, hello(), { headers })
  t.equal(await turn(gw, hello(), { headers, key }), 'cred-b', 'another group’s key is not led to an account of ours')
  const models = new Set<string>()
  for (const model of ['m1', 'm2', 'm3', 'm4']) models.add(await turn(gw, hello({ model }), { headers }))
  t.ok(models.size > 1, 'another model of the session may have another account')
  t.equal(await turn(gw, hello(), { headers }), mine)
})

t.test('a spill-over does not move a session; an account that is out loses it', async t => {
  const gw = await gateway(t, {
    accounts: [
      { name: 'a', concurrency: 1 },
      { name: 'b', concurrency: 1 },
    ],
  })
  const headers = { 'x-claude-code-session-id': 's1' }
  const home = await turn(gw, hello(), { headers })
  const away = home === 'cred-a' ? 'cred-b' : 'cred-a'
  gw.mock.script(home, [{ hold: 'start' }, {}])
  const held = gw.send(hello({ messages: [{ role: 'user', content: 'holds the place' }] }), { headers })
  await gw.mock.until(s => s.holding === 1)
  t.equal(await turn(gw, hello(), { headers }), away, 'full: the other serves')
  gw.mock.release()
  t.equal((await held).status, 200)
  t.equal(await turn(gw, hello(), { headers }), home, 'and then home again')
  await gw.set.account(home.replace('cred-', ''), { status: 'paused' })
  t.equal(await turn(gw, hello(), { headers }), away, 'out: it moves')
  await gw.set.account(home.replace('cred-', ''), { status: 'active' })
  t.equal(await turn(gw, hello(), { headers }), away, 'and stays where its cache is now')
  await forgetBindings(gw.daemon.gateway, [...gw.daemon.gateway.snapshot.groups.keys()][0]!)
  t.equal(gw.daemon.gateway.bindings.size, 0)
})

t.test('of a thousand sessions hardly a turn is served cold, although an account fails now and then', async t => {
  const gw = await gateway(t, { accounts: four })
  const sessions = 1000
  const turns = 4
  const homes = new Map<number, string>()
  let warm = 0
  let all = 0
  const body = (n: number) => hello({ messages: [{ role: 'user', content: `session ${n}` }] })
  for (let round = 0; round < turns; round++) {
    // One account answers a request with 500 now and then: too rarely to be ejected.
    gw.mock.script('cred-b', [...Array.from({ length: 60 }, () => ({})), { status: 500 }, {}])
    for (let from = 0; from < sessions; from += 50) {
      const ids = await Promise.all(
        Array.from({ length: 50 }, async (_, i) => {
          const reply = await gw.send(body(from + i))
          await reply.text()
          return reply.headers.get('x-upstream-request-id')
        }),
      )
      const seen = new Map(gw.mock.stats().bodies.map(({ id, credential }) => [id, credential]))
      for (const [i, id] of ids.entries()) {
        const [n, home] = [from + i, seen.get(id!)!]
        if (round > 0) {
          all++
          if (homes.get(n) === home) warm++
        }
        homes.set(n, home)
      }
    }
  }
  t.ok(warm / all >= 0.95, `${warm} of ${all} turns were warm`)
})

t.test('a system prompt that thousands share pins nobody', async t => {
  const gw = await gateway(t, { accounts: four })
  const system = [
    { type: 'text', text: 'You are the assistant of a large company.', cache_control: { type: 'ephemeral' } },
  ]
  for (let from = 0; from < 2000; from += 50)
    await Promise.all(
      Array.from({ length: 50 }, async (_, i) =>
        (await gw.send(hello({ system, messages: [{ role: 'user', content: `user ${from + i}` }] }))).text(),
      ),
    )
  const counts = four.map(({ name }) => gw.mock.stats(gw.credential(name)).requests)
  t.ok(Math.max(...counts) / 500 <= 1.3, `${counts} requests per account`)
})

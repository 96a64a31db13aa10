// Mixed scheduling and the forced platform: antigravity accounts beside those of a group's own platform, and the routes that ask for them.
import t, { type Test } from 'tap'
import { addAccount, findAccount } from '../../src/core/record/account.ts'
import { addGroup } from '../../src/core/record/group.ts'
import { createKey } from '../../src/core/record/key.ts'
import { FEW } from '../../src/gateway/choose/pool.ts'
import { type AccountSetup, gateway, type TestGateway } from '../helpers/gateway.ts'

const model = 'claude-sonnet-4-5'
const body = { model, max_tokens: 32, messages: [{ role: 'user', content: 'hello' }] }

/** Group `main` of anthropic with these accounts and, with priority 90, the mixed antigravity account `anti`. */
async function mixed(t: Test, accounts: AccountSetup[]): Promise<TestGateway> {
  const gw = await gateway(t, { accounts })
  await addAccount(gw.database.db, gw.secret, {
    name: 'anti',
    platform: 'antigravity',
    type: 'oauth',
    credential: JSON.stringify({ access_token: 'cred-anti', project_id: 'project' }),
    base_url: gw.mock.url,
    concurrency: 0,
    priority: 90,
    mixed: true,
    groups: ['main'],
  })
  await gw.inForce()
  return gw
}

for (const few of [true, false])
  t.test(
    `${few ? 'a small' : 'a large'} group: its own accounts and mixed ones are candidates, a route may force the latter`,
    async t => {
      const own = Array.from({ length: few ? 1 : FEW + 4 }, (_, n) => ({
        name: `own-${n}`,
        models: { [model]: model },
      }))
      const gw = await mixed(t, own)
      const asked = async (path: string, name: string, key = gw.key) => {
        const before = gw.mock.stats(gw.credential(name)).requests
        const reply = await gw.send(body, { path, key })
        const text = await reply.text()
        t.equal(reply.status, 200, text)
        t.match(JSON.parse(text), { type: 'message', role: 'assistant' })
        t.equal(gw.mock.stats(gw.credential(name)).requests, before + 1, `${path} by ${name}`)
      }
      const anti = () => gw.mock.stats('cred-anti').requests
      if (few) await asked('/v1/messages', 'own-0')
      else t.equal((await gw.send(body)).status, 200)
      t.equal(anti(), 0, 'the better priority is of its own accounts')
      await asked('/antigravity/v1/messages', 'anti')
      for (const { name } of own) await gw.set.account(name, { status: 'paused' })
      await asked('/v1/messages', 'anti')

      await gw.set.account('anti', { status: 'paused' })
      for (const { name } of own) await gw.set.account(name, { status: 'active' })
      const forced = await gw.send(body, { path: '/antigravity/v1/messages' })
      t.equal(forced.status, 503, 'no other platform stands in for one that is asked for by name')
      t.match(await forced.text(), /1 paused/, 'and only its accounts are counted')
      const [row] = await gw.usage(1)
      t.ok(row)
    },
  )

t.test(
  'an account that is not mixed any more serves its own platform only; a mixed one serves keys without a group',
  async t => {
    const gw = await mixed(t, [{ name: 'own' }])
    const { db } = gw.database
    await addGroup(db, { name: 'anti', platform: 'antigravity', unknown_model: 'free' })
    await addGroup(db, { name: 'gem', platform: 'gemini', unknown_model: 'free' })
    const key = async (group: string | undefined) =>
      (await createKey(db, gw.secret, { user: 'alice', group, valuePrefix: 'sk-' })).key
    const [ofAnti, ofGem, free] = [await key('anti'), await key('gem'), await key(undefined)]
    await gw.set.account('anti', { groups: ['main', 'gem', 'anti'] })
    const status = async (key: string, path = '/v1/messages') => {
      const reply = await gw.send(body, { key, path })
      await reply.text()
      return reply.status
    }
    t.strictSame([await status(ofAnti), await status(ofGem)], [200, 200])
    t.strictSame(
      [await status(ofAnti, '/antigravity/v1/messages'), await status(ofGem, '/antigravity/v1/messages')],
      [200, 200],
    )
    const { snapshot } = gw.daemon.gateway
    for (const platform of ['anthropic', 'gemini', 'antigravity'] as const)
      t.ok(
        snapshot.ungrouped(platform).some(a => a.name === 'anti'),
        `${platform} without a group`,
      )
    t.notOk(snapshot.ungrouped('openai').some(a => a.name === 'anti'))
    t.equal(await status(free, '/antigravity/v1/messages'), 200)

    // What psql can do, and gw refuses: bound to a group whose accounts it does not mix with.
    await db.updateTable('accounts').set({ mixed: false }).where('name', '=', 'anti').execute()
    await gw.inForce()
    t.strictSame([await status(ofAnti), await status(ofGem)], [200, 503])
    t.notOk(gw.daemon.gateway.snapshot.ungrouped('gemini').some(a => a.name === 'anti'))
  },
)

t.test('what an account of another dialect cannot be told is asked of those that speak the client’s own', async t => {
  const gw = await mixed(t, [{ name: 'own' }])
  await gw.set.account('anti', { priority: 1 })
  const own = { ...body, mcp_servers: [{ type: 'url', url: 'https://x.example', name: 'x' }] }
  let said = ''
  const asked = async (body: object) => {
    const reply = await gw.send(body)
    said = await reply.text()
    return [reply.status, gw.mock.stats('cred-anti').requests, gw.mock.stats(gw.credential('own')).requests]
  }
  t.strictSame(await asked(body), [200, 1, 0], 'the mixed account comes first')
  t.strictSame(await asked(own), [200, 1, 1])
  t.strictSame(gw.daemon.gateway.health.ailments((await findAccount(gw.database.db, 'anti')).id), [])
  await gw.set.account('own', { status: 'paused' })
  t.strictSame(await asked(own), [400, 1, 1], 'and refused where there is none')
  t.match(said, /mcp_servers: /)
  const slots = (await gw.live()).accounts.map(({ slots }) => slots.used)
  t.strictSame(slots, [0, 0])
})

// Accounts behind egress proxies: a dead proxy is a reason of its own, nobody's strike, and never a way around itself.
import { Writable } from 'node:stream'
import pino from 'pino'
import t from 'tap'
import { addProxy, setProxy } from '../../src/core/record/proxy.ts'
import { egress } from '../helpers/egress.ts'
import { gateway, hello, until } from '../helpers/gateway.ts'

for (const engine of ['wire', 'proxy'] as const)
  t.test(`${engine}: accounts go out through their proxies, and a dead one is the proxy's trouble`, async t => {
    const lines: string[] = []
    const log = pino(
      { level: 'debug' },
      new Writable({
        write(line, _, done) {
          lines.push(String(line))
          done()
        },
      }),
    )
    const gw = await gateway(t, {
      accounts: [
        { name: 'one', priority: 1 },
        { name: 'two', priority: 2 },
        { name: 'alike', priority: 3 },
      ],
      config: { 'upstream.engine': engine },
      log,
    })
    const { database, secret, daemon } = gw
    const first = await egress(t, { scheme: 'http', login: 'user:hidden-password' })
    const second = await egress(t, { scheme: 'socks5', id: 2, login: 'user:hidden-password' })
    await addProxy(database.db, secret, { name: 'first', url: first.url })
    await addProxy(database.db, secret, { name: 'second', url: second.url })
    for (const name of ['one', 'alike']) await gw.set.account(name, { proxy: 'first' })
    await gw.set.account('two', { proxy: 'second' })
    const account = (name: string) => [...daemon.gateway.snapshot.accounts.values()].find(a => a.name === name)!
    const servedBy = async (wanted: string) => {
      const before = gw.mock.stats(gw.credential(wanted)).requests
      const answer = await gw.send(hello())
      t.equal(answer.status, 200, await answer.text())
      t.equal(gw.mock.stats(gw.credential(wanted)).requests, before + 1, `by ${wanted}`)
    }

    await servedBy('one')
    await servedBy('one')
    t.strictSame([first.asked, second.asked], [[new URL(gw.mock.url).host], []], 'by its proxy, on one connection')
    t.equal(account('one').proxy, account('alike').proxy, 'accounts share what they know of a proxy')

    first.close()
    await servedBy('two')
    t.equal(second.asked.length, 1)
    t.strictSame(daemon.gateway.health.ailments(account('one').id), [], 'it has no strike')
    const views = (await gw.live()).accounts
    for (const name of ['one', 'alike'])
      t.match(
        views.find(a => a.name === name),
        { state: 'ejected', reason: 'proxy first: connection refused' },
      )
    t.match(
      views.find(a => a.name === 'two'),
      { state: 'available' },
    )

    second.conduct = 'refuse'
    second.close()
    const refused = await gw.send(hello())
    t.equal(refused.status, 503)
    t.ok(Number(refused.headers.get('retry-after')) >= 1)
    const text = await refused.text()
    t.notMatch(text, /first|second|proxy [a-z]+:/, 'its client hears nothing of our ways')

    const third = await egress(t, { scheme: 'https', login: 'a:b' })
    await setProxy(database.db, secret, 'first', { url: third.url })
    await gw.inForce()
    t.not(account('one').proxy, null)
    t.equal(
      account('one').proxy!.port,
      third.through.port,
      'a changed proxy is in force without a change of its accounts',
    )

    const back = await egress(t, { scheme: 'socks5h', login: 'user:hidden-password' })
    await setProxy(database.db, secret, 'first', { url: back.url })
    await gw.inForce()
    await servedBy('one')
    t.equal(back.asked.length, 1, 'what it is now is tried at once')

    await database.db.updateTable('proxies').set({ deleted_at: new Date() }).where('name', '=', 'first').execute()
    await gw.inForce()
    t.match(account('one'), { status: 'error', reason: 'its proxy first is gone', proxy: null })
    for (const name of ['one', 'alike']) await gw.set.account(name, { proxy: null })
    await servedBy('one')
    t.equal(back.asked.length, 1, 'without a proxy it goes straight')

    await until(t, 'what happened is logged', () =>
      lines.some(line => line.includes('proxy first: connection refused')),
    )
    t.notMatch(lines.join(''), /hidden-password/)
  })

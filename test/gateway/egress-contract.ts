// What every engine promises about egress proxies: asked of scripted ones, HTTP and SOCKS5, in front of raw and TLS upstreams.
import type { Test } from 'tap'
import type { Engine, EngineOptions } from '../../src/gateway/ask/engine/engine.ts'
import { type Conduct, egress } from '../helpers/egress.ts'
import { until } from '../helpers/gateway.ts'
import { answering, ask, closes, localhost, peer, turn } from '../helpers/peer.ts'

const hi = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi'
const schemes = ['http', 'https', 'socks5', 'socks5h'] as const
// Not in any hosts file, and nobody's name server knows it: who looks it up is found out.
const nowhere = 'upstream.invalid'

export function egressContract(t: Test, make: (options: EngineOptions) => Promise<Engine>): void {
  const engineOf = async (t: Test, idleConnections = 16) => {
    const engine = await make({ idleConnections, ca: localhost.cert })
    t.teardown(() => engine.close())
    return engine
  }

  for (const scheme of schemes)
    t.test(`through ${scheme}: to a plain and a TLS origin, with a login, on connections that are kept`, async t => {
      const engine = await engineOf(t)
      const way = await egress(t, { scheme, login: 'us%40er:p%3Ass%2Fw' })
      const plain = await peer(
        t,
        answering((_request, line) => line.say(hi)),
      )
      const secure = await peer(
        t,
        answering((_request, line) => line.say(hi)),
        localhost,
      )
      for (const { origin } of [plain, secure])
        for (let n = 0; n < 2; n++) {
          const asked = ask(t, engine, origin, { via: way.through, body: [Buffer.alloc(100_000, 'x')] })
          if (n === 0) t.notOk(asked.controller.sent, 'nobody has it before there is a whole way')
          await asked.over()
          t.strictSame([asked.text, asked.error, asked.controller.reused], ['hi', undefined, n === 1])
          t.ok(asked.controller.sent)
        }
      t.strictSame(way.asked, [plain.origin.host, secure.origin.host], 'one tunnel each; the proxy is told names')
      t.strictSame(way.logins, ['us@er:p:ss/w', 'us@er:p:ss/w'])
      t.strictSame([plain.lines.length, secure.lines.length], [1, 1])
    })

  for (const scheme of ['http', 'socks5'] as const)
    t.test(`through ${scheme}: the proxy looks the name up, not we`, async t => {
      const engine = await engineOf(t)
      const way = await egress(t, { scheme })
      const up = await peer(
        t,
        answering((_request, line) => line.say(hi)),
      )
      const asked = await ask(t, engine, new URL(`http://${nowhere}:${up.origin.port}`), { via: way.through }).over()
      t.equal(asked.text, 'hi')
      t.strictSame(way.asked, [`${nowhere}:${up.origin.port}`])
    })

  t.test('the certificate must be that of the origin, whoever made the connection', async t => {
    const engine = await engineOf(t)
    const way = await egress(t)
    const up = await peer(
      t,
      answering((_request, line) => line.say(hi)),
      localhost,
    )
    const asked = await ask(t, engine, new URL(`https://${nowhere}:${up.origin.port}`), { via: way.through }).over()
    t.strictSame([asked.answer, asked.error?.code], [undefined, 'ERR_TLS_CERT_ALTNAME_INVALID'])
    const strict = await make({ idleConnections: 1 })
    t.teardown(() => strict.close())
    const unknown = await ask(t, strict, up.origin, { via: way.through }).over()
    t.strictSame([unknown.answer, unknown.error?.code], [undefined, 'DEPTH_ZERO_SELF_SIGNED_CERT'])
  })

  t.test('connections belong to one proxy as it is: another, or none, has its own', async t => {
    const engine = await engineOf(t)
    const [one, other] = [await egress(t), await egress(t, { id: 2, name: 'other' })]
    const up = await peer(
      t,
      answering((_request, line) => line.say(hi)),
    )
    for (const via of [one.through, other.through, undefined, one.through, other.through])
      await ask(t, engine, up.origin, via ? { via } : {}).over()
    t.strictSame([one.asked.length, other.asked.length, up.lines.length], [1, 1, 3])
    const changed = { ...one.through, login: { reveal: () => 'new:login' } }
    await ask(t, engine, up.origin, { via: changed }).over()
    t.strictSame(one.logins, ['new:login'], 'what the old login opened is not used for the new one')
    await closes(t, () => up.lines[0])
    await until(t, 'the old connection is closed', () => one.open() === 1)
  })

  const faults: [scheme: 'http' | 'socks5', conduct: Conduct | 'gone' | 'login', says: RegExp][] = [
    ['http', 'gone', /^proxy way: connection refused$/],
    ['http', 'refuse', /^proxy way: 502 Bad Gateway$/],
    ['http', 'hang up', /^proxy way: (closed the connection before it answered|connection reset)$/],
    ['http', 'babble', /^proxy way: did not answer as an HTTP proxy does$/],
    ['http', 'login', /^proxy way: 407, it asks for a login, or for another one$/],
    ['socks5', 'gone', /^proxy way: connection refused$/],
    ['socks5', 'refuse', /^proxy way: SOCKS: proxy rejected connection - ConnectionRefused$/],
    ['socks5', 'hang up', /^proxy way: (SOCKS: Socket closed|SOCKS: read ECONNRESET)$/],
    ['socks5', 'babble', /^proxy way: SOCKS: .*invalid socks version/],
    ['socks5', 'login', /^proxy way: SOCKS: Authentication failed$/],
  ]
  for (const [scheme, conduct, says] of faults)
    t.test(`${scheme}, ${conduct}: a fault of the proxy, by its name and without its login`, async t => {
      const engine = await engineOf(t)
      const script = conduct === 'gone' || conduct === 'login' ? 'connect' : conduct
      const login = 'user:hunter2hunter2'
      const sends = conduct === 'login' ? 'user:wrongwrong' : login
      const way = await egress(t, { scheme, login, conduct: script, sends })
      if (conduct === 'gone') way.close()
      const up = await peer(
        t,
        answering((_request, line) => line.say(hi)),
      )
      const asked = await ask(t, engine, up.origin, { via: way.through }).over()
      t.strictSame([asked.answer, asked.error?.code, asked.controller.sent], [undefined, 'EPROXY', false])
      t.match(asked.error?.message, says)
      t.notMatch(JSON.stringify(asked.error, Object.getOwnPropertyNames(asked.error)), /hunter2|wrongwrong/)
      t.equal(up.lines.length, 0)
      await until(t, 'nothing of it stays open', () => way.open() === 0)
      t.notOk(asked.controller.reused)
    })

  for (const scheme of ['http', 'socks5'] as const)
    t.test(`${scheme}: who is left while the proxy is silent leaves it, and nothing is heard`, async t => {
      const engine = await engineOf(t)
      const way = await egress(t, { scheme, conduct: 'silent' })
      const asked = ask(t, engine, new URL('http://127.0.0.1:1'), { via: way.through })
      await until(t, 'it is asked', () => way.asked.length === 1)
      asked.abort()
      await turn()
      engine.close()
      await until(t, 'the connection is closed', () => way.open() === 0)
      t.notOk(asked.error)
    })
}

// What every engine promises where upstreams may not be anywhere (upstream.allow_private false; spec/domain.md §12.9).
import type { Test } from 'tap'
import type { Engine, EngineOptions } from '../../src/gateway/ask/engine/engine.ts'
import { createGuard, type GuardOptions } from '../../src/lib/guard/guard.ts'
import { egress } from '../helpers/egress.ts'
import { answering, ask, localhost, peer } from '../helpers/peer.ts'

const hi = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi'
const setting = 'upstream.allow_private'

export function guardContract(t: Test, make: (options: EngineOptions) => Promise<Engine>): void {
  const engineOf = async (t: Test, options: Partial<GuardOptions>) => {
    const guard = createGuard({ allowPrivate: false, setting, ...options })
    const engine = await make({ idleConnections: 16, ca: localhost.cert, guard })
    t.teardown(() => engine.close())
    return engine
  }
  const upstream = (t: Test) =>
    peer(
      t,
      answering((_request, line) => line.say(hi)),
      localhost,
    )
  // Here 127.0.0.1 stands for the internet, and the name of the certificate is a name like any other.
  const anywhere = { allowPrivate: true, refused: () => undefined }

  t.test('guarded: each connection looks its name up once, and one bad address refuses it', async t => {
    const answers = [['127.0.0.1'], ['127.0.0.1', '10.0.0.1']]
    let lookups = 0
    const engine = await engineOf(t, {
      allowPrivate: true,
      refused: address => (address === '10.0.0.1' ? 'private' : undefined),
      resolve: async () => answers[lookups++]!,
    })
    const up = await upstream(t)
    for (const reused of [false, true]) {
      const asked = await ask(t, engine, up.origin).over()
      t.strictSame([asked.text, asked.error, asked.controller.reused], ['hi', undefined, reused])
    }
    t.equal(lookups, 1)
    const asked = await ask(t, engine, up.origin, { fresh: true }).over()
    t.strictSame([asked.error?.code, asked.controller.sent], ['EGUARD', false])
    t.equal(asked.error?.message, 'the host localhost has the address 10.0.0.1, which is private')
    t.equal(up.lines.length, 1)
  })

  t.test('guarded: the certificate must be that of the name, wherever it leads', async t => {
    const engine = await engineOf(t, { ...anywhere, resolve: async () => ['127.0.0.1'] })
    const up = await upstream(t)
    const asked = await ask(t, engine, new URL(`https://other.test:${up.origin.port}`)).over()
    t.equal(asked.error?.code, 'ERR_TLS_CERT_ALTNAME_INVALID')
  })

  t.test('guarded: who answers is judged again, and has nothing of the request when it is refused', async t => {
    for (const secure of [true, false]) {
      let judged = 0
      const engine = await engineOf(t, {
        allowPrivate: true,
        refused: () => (judged++ === 0 ? undefined : 'loopback'),
        resolve: async () => ['127.0.0.1'],
      })
      const heard: string[] = []
      const up = await peer(
        t,
        line => line.socket.on('data', bytes => heard.push(String(bytes))),
        secure ? localhost : undefined,
      )
      const origin = new URL(`${secure ? 'https' : 'http'}://localhost:${up.origin.port}`)
      const asked = await ask(t, engine, origin, { headers: { authorization: 'Bearer secret' } }).over()
      t.strictSame([asked.error?.code, asked.controller.sent], ['EGUARD', false])
      t.match(asked.error?.message, /^who answered is 127\.0\.0\.1, which is loopback/)
      t.strictSame(heard, [])
    }
  })

  t.test(
    'guarded: an address, a plain http URL or a name of the own network is refused before anybody is asked',
    async t => {
      const engine = await engineOf(t, { resolve: () => Promise.reject(new Error('nobody is asked')) })
      const up = await upstream(t)
      for (const url of [
        `https://127.0.0.1:${up.origin.port}`,
        up.origin,
        'https://[::ffff:10.0.0.1]',
        'http://example.com',
      ]) {
        const asked = await ask(t, engine, new URL(url)).over()
        t.strictSame([asked.answer, asked.error?.code, asked.controller.sent], [undefined, 'EGUARD', false])
        t.match(asked.error?.message, /^the URL .* \(upstream\.allow_private is false\)$/)
      }
      t.equal(up.lines.length, 0)
    },
  )

  t.test(
    'guarded: behind an egress proxy what the URL says is judged, and names are the proxy’s to look up',
    async t => {
      const engine = await engineOf(t, { resolve: () => Promise.reject(new Error('nobody is asked')) })
      const way = await egress(t)
      const bad = await ask(t, engine, new URL('https://169.254.169.254'), { via: way.through }).over()
      t.equal(bad.error?.code, 'EGUARD')
      t.strictSame(way.asked, [])
      const up = await upstream(t)
      const name = new URL(`https://upstream.invalid:${up.origin.port}`)
      const asked = await ask(t, engine, name, { via: way.through }).over()
      t.equal(asked.error?.code, 'ERR_TLS_CERT_ALTNAME_INVALID', 'it came as far as its certificate')
      t.strictSame(way.asked, [name.host])
    },
  )
}

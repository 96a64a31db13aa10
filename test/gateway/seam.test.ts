// The dialect seam: a wire language that nobody has heard of is served by a folder and two rows, and no room knows of it.
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { DialectName } from '../../src/dialect/dialect.ts'
import type { Codec } from '../../src/dialect/middle/codec.ts'
import { dialectNamed, dialects } from '../../src/dialect/table.ts'
import { routes } from '../../src/gateway/enter/routes.ts'
import { echo } from '../fixtures/echo/echo.ts'
import { gateway, until } from '../helpers/gateway.ts'

dialects.set(echo.name, echo)
routes.push({
  kind: 'generate',
  dialect: echo.name,
  method: 'POST',
  path: '/echo/{model}/say',
  platforms: ['anthropic'],
})

t.test('a dialect is added by one folder and two table rows', async t => {
  const asked: string[] = []
  const upstream = http.createServer(async (req, res) => {
    let body = ''
    for await (const chunk of req) body += chunk
    asked.push(`${req.url} ${body.trim()}`)
    if (body.includes('busy')) res.writeHead(529).end('{}')
    else res.end(`3 2 ${body.split(' ').slice(1).join(' ')}`)
  })
  upstream.listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  t.teardown(() => upstream.close())
  const baseUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
  const gw = await gateway(t, { accounts: [{ baseUrl, models: { 'echo-1': 'up/echo' } }] })

  const path = '/echo/echo-1/say'
  const reply = await gw.send('echo-1 hello there\n', { path })
  t.equal(reply.status, 200)
  t.equal(await reply.text(), '3 2 hello there\n')
  t.strictSame(asked, ['/echo/up/echo/say up/echo hello there'], 'the model is mapped in body and path')
  const [row] = await gw.usage(1)
  t.match(row, { model: 'echo-1', upstream_model: 'up/echo', input_tokens: 3, output_tokens: 2, partial: false })

  const boom = await gw.send('echo-1 boom\n', { path })
  t.equal(boom.status, 500)
  t.equal(await boom.text(), 'no INTERNAL_ERROR\n', 'a mistake in a dialect ends its request, and nothing else')
  t.equal((await gw.send('echo-1 hello there\n', { path })).status, 200)

  const refused = await gw.send('echo-1 busy\n', { path })
  t.equal(refused.status, 503)
  t.equal(await refused.text(), 'no UPSTREAM_OVERLOADED\n', 'errors are told in its own words')
  const stranger = await gw.send('echo-1 hello\n', { path, key: 'sk-nobody' })
  t.equal(await stranger.text(), 'no INVALID_API_KEY\n', 'from the door on')
})

t.test('a codec that throws, also when it is to say so, ends its own request', async t => {
  const chat = dialectNamed('chat')
  const codec: Codec = {
    ...chat.codec!,
    encoder(asked) {
      const encoder = chat.codec!.encoder(asked)
      let deltas = 0
      return {
        write(event) {
          if (event.type === 'fail' || (event.type === 'delta' && ++deltas > 2)) throw new Error('boom')
          return encoder.write(event)
        },
      }
    },
  }
  const name = 'brittle' as DialectName
  dialects.set(name, { ...chat, name, codec })
  routes.push({ kind: 'generate', dialect: name, method: 'POST', path: '/brittle' })
  const gw = await gateway(t, { accounts: [{ script: [{ chunks: ['one ', 'two ', 'three ', 'four'], hold: 4 }, {}] }] })
  const body = { model: 'm', stream: true, messages: [{ role: 'user', content: 'hi' }] }
  const reply = await gw.send(body, { path: '/brittle' })
  t.equal(reply.status, 200)
  gw.mock.release(gw.credential('a1'))
  t.match(await reply.text(), /"one ".*"two ".*"code":"INTERNAL_ERROR".*\n\n$/s)
  await until(t, 'nothing is held', async () => (await gw.live()).accounts.every(({ slots }) => slots.used === 0))
  t.equal(gw.mock.stats().inFlight, 0)
  t.equal((await gw.send({ ...body, stream: false }, { path: '/v1/chat/completions' })).status, 200)
})

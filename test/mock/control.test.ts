// The mock as a server: its own endpoints, waiting for facts, unix sockets.

import http from 'node:http'
import path from 'node:path'
import t from 'tap'
import { startMock } from '../../src/mock/server.ts'
import { matchAll } from '../helpers/match.ts'
import { ask, mockFor, whole } from './ask.ts'

t.test('its own endpoints do what its methods do', async t => {
  const mock = await mockFor(t)
  const post = (verb: string, body: unknown) => ask(mock, { path: `/_mock/${verb}`, body })
  t.equal((await post('script', { credential: 'k', steps: [{ text: 'scripted', hold: true }] })).status, 200)
  const held = ask(mock, { body: whole })
  await mock.until(stats => stats.holding === 1, 'k')
  await post('release', { credential: 'k' })
  t.match(await held, { text: /scripted/ })

  const stats = JSON.parse((await ask(mock, { path: '/_mock/stats?credential=k', method: 'GET' })).text)
  matchAll(t, stats, {
    requests: 1,
    holding: 0,
    completed: 1,
    bodies: [{ body: JSON.stringify(whole), model: whole.model }],
  })
  await post('record', { record: false })
  await post('reset', {})
  t.match(await ask(mock, { body: whole }), { text: /This is/ })
  matchAll(t, mock.stats(), { requests: 1, bodies: [] })

  for (const [steps, says] of [
    [{ status: 'x' }, /^steps\.status must be a whole number from 200 to 599, got "x"/],
    [[{}, { usage: { input: 1 } }], /^steps\[1\]\.usage\.input is not known; known are input_tokens/],
    [[{ tools: [{}] }], /^steps\[0\]\.tools\[0\]\.name must be a string, got nothing/],
    [[{ headers: { 'a b': 'c' } }], /^steps\[0\]\.headers\.a b must be a header that HTTP allows/],
    [[], /^steps must hold at least one step/],
  ] as const) {
    const refused = await post('script', { credential: 'k', steps })
    t.equal(refused.status, 400)
    t.match(JSON.parse(refused.text).error, says)
  }
  t.match(await post('script', { steps: {} }), { status: 400, text: /credential must be a string/ })
  t.equal((await post('nothing', {})).status, 404)
})

t.test('waiting for a fact that does not come fails with what was seen', async t => {
  const mock = await mockFor(t)
  await t.rejects(
    mock.until(stats => stats.requests > 0, undefined, 1),
    /waited 1 ms in vain.*"requests":0/,
  )
})

t.test('listens on a unix socket', async t => {
  const socketPath = path.join(t.testdir({}), 's')
  const mock = await startMock({ socket: socketPath })
  t.teardown(() => mock.close())
  t.match(mock, { url: `unix:${socketPath}`, port: 0 })
  const status = await new Promise(resolve =>
    http.get({ socketPath, path: '/v1/models?key=k' }, res => resolve(res.resume().statusCode)),
  )
  t.equal(status, 200)
})

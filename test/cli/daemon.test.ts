// The commands that meet a running daemon: serve, status, ping, top, try, and live facts in account list.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { demoAsks } from '../../src/daemon/demo.ts'
import { gateway } from '../helpers/gateway.ts'
import { type Lane, lanes } from '../helpers/lanes.ts'
import { matchAll } from '../helpers/match.ts'
import { bin, home } from './gw.ts'

const model = 'claude-sonnet-4-5'

t.test('one request tells its times and its cost', async t => {
  const usage = { input_tokens: 1000, output_tokens: 10, cache_creation_input_tokens: 0, cache_read_input_tokens: 500 }
  const up = await gateway(t, {
    accounts: [{ name: 'first', script: [{ chunks: ['Hel', 'lo'], usage }], concurrency: 2 }],
  })
  const { gw, json, file } = await home(t)
  const env = {
    GW_DATA_DIR: up.config.data_dir,
    GW_DATABASE_URL: up.config['database.url']!,
    GW_LISTEN: new URL(up.url).host,
    GW_KEY: up.key,
  }
  const cost = '0.0033'

  for (const stream of [[], ['--stream']]) {
    const answer = await json(['try', '--model', model, 'say hello', ...stream], { env })
    t.match(answer, {
      request_id: /^[0-9a-f-]{36}$/,
      status: 200,
      stream: stream.length > 0,
      text: 'Hello',
      input_tokens: 1000,
      output_tokens: 10,
      cache_read_input_tokens: 500,
      first_token_ms: Number,
      duration_ms: Number,
      account: 'first',
      cost,
      charged: cost,
    })
    t.ok(Number(answer['first_token_ms']) <= Number(answer['duration_ms']))
  }
  const told = await gw(['try', '--model', model, 'say hello', '--stream', '--key-file', await file('key', up.key)], {
    env,
  })
  t.match(told, {
    code: 0,
    stdout: 'Hello\n',
    stderr:
      /^status 200 · first token \d+ ms · .* · cost 0\.0033 USD · account first\nwhy: gw explain [0-9a-f-]{36}\n$/,
  })
  matchAll(t, await json('usage list --limit 1', { env }), [
    { model, cost, account: 'first', user: 'alice', stream: true },
  ])

  t.test('or what went wrong', async t => {
    const unknown = await gw(['try', '--model', model, 'hi', '--json'], { env: { ...env, GW_KEY: 'sk-unknown' } })
    t.match(unknown, { code: 1, stderr: /^gw: the gateway answered 401: .* \(why: gw explain [0-9a-f-]{36}\)\n$/ })
    t.match(JSON.parse(unknown.stdout), { status: 401, text: '', cost: null })
    up.mock.script(up.credential('first'), { chunks: ['Hel', 'lo'], close: 4 })
    t.match(await gw(['try', '--model', model, 'hi', '--stream'], { env }), {
      code: 1,
      stdout: /^Hel/,
      stderr: /^gw: the gateway answered 200: /,
    })
  })

  t.test('and the daemon tells how it is', async t => {
    t.match(await gw('ping', { env }), { code: 0, stdout: /^pong [\d.]+ ms\n$/, stderr: '' })
    t.match(await json('ping', { env }), { pong: true, ms: Number })
    matchAll(t, await json('status', { env }), {
      phase: 'ready',
      listen: up.url,
      accounts: 1,
      users: 1,
      keys: 1,
      nodes: [{ this: true }],
      degraded: [],
    })
    const { stdout } = await gw('status', { env })
    t.match(stdout, /^phase +ready$/m)
    t.notMatch(stdout, /node/, 'alone there is nothing to say')
    matchAll(t, await json('top --once', { env }), { accounts: [{ name: 'first', slots: { used: 0, limit: 2 } }] })
    matchAll(t, await json('account list', { env }), [
      { name: 'first', state: 'available', slots: { used: 0, limit: 2, waiting: 0 } },
    ])
    t.match((await gw('account list', { env })).stdout, / first +available .* 0\/2 +0 /)
    t.match(await json('account pause first', { env }), { state: 'paused' })
    t.match(await json('account show first', { env }), { state: 'paused', slots: { limit: 2 } })
  })
})

t.test('a request is made in the dialect of its key, or in another', async t => {
  const up = await gateway(t)
  const said = { thinking: 'hm', chunks: ['Hel', 'lo'], usage: { input_tokens: 10, output_tokens: 5 } }
  const keys = await lanes(up, { scripts: [said] })
  const { gw, json } = await home(t)
  const env = {
    GW_DATA_DIR: up.config.data_dir,
    GW_DATABASE_URL: up.config['database.url']!,
    GW_LISTEN: new URL(up.url).host,
  }
  const spoken: [Lane, model: string, dialect: string][] = [
    ['anthropic', 'claude-sonnet-5-5', 'messages'],
    ['openai-responses', 'gpt-6-sol', 'responses'],
    ['gemini', 'gemini-3.6-flash', 'gemini'],
    ['antigravity', 'gemini-3.6-flash', 'gemini'],
  ]
  const asked: [Lane, string[], model: string, dialect: string][] = [
    ...spoken.map(([lane, model, dialect]): (typeof asked)[number] => [lane, [], model, dialect]),
    ['openai-chat', ['--dialect', 'chat'], 'gpt-6-sol', 'chat'],
    ...['messages', 'chat', 'responses', 'gemini'].flatMap(dialect =>
      spoken.map(([lane, model]): (typeof asked)[number] => [lane, ['--dialect', dialect], model, dialect]),
    ),
  ]
  for (const [lane, options, model, dialect] of asked)
    for (const stream of [[], ['--stream']]) {
      const args = ['try', '--model', model, 'say hello', ...stream, ...options]
      const answer = await json(args, { env: { ...env, GW_KEY: keys[lane] } })
      const heard = { status: 200, dialect, text: 'Hello', input_tokens: 10, output_tokens: 5, account: `${lane}-0` }
      t.match(answer, heard, `${lane} ${args.join(' ')}`)
      t.ok(Number(answer['cost']) > 0, 'and it is priced')
    }
  // The requests that `gw serve --demo` prints.
  for (const { platform, path, header, body } of demoAsks) {
    const [name, value] = header(keys[platform === 'openai' ? 'openai-chat' : platform])
    const headers = { [name!]: value!, 'content-type': 'application/json' }
    const reply = await fetch(up.url + path, { method: 'POST', headers, body: JSON.stringify(body) })
    t.equal(reply.status, 200, path)
    t.match(await reply.text(), /lo/, path)
  }
  t.match(await gw(['try', '--model', 'm', 'hi', '--dialect', 'gemni'], { env: { ...env, GW_KEY: 'sk-x' } }), {
    code: 2,
    stderr: /messages chat responses gemini.*gemini/s,
  })
})

t.test('serve runs in the foreground until it is told to stop', async t => {
  const { gw, json, env, dataDir, open } = await home(t)
  // What a first start makes takes its time, and is made here once.
  await open()
  const [listen, ops] = [await freeAddress(), await freeAddress()]
  const child = spawn(bin, ['serve', '--listen', listen], {
    env: { ...env, GW_OPS_LISTEN: ops },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'close')
  t.teardown(() => child.kill('SIGKILL'))
  await new Promise<void>(resolve => {
    let log = ''
    child.stdout.on('data', chunk => {
      log += chunk
      if (log.includes('"msg":"ready"')) resolve()
    })
  })
  t.match(await json('status'), { phase: 'ready', listen: `http://${listen}`, pid: child.pid })
  t.equal((await fetch(`http://${listen}/health`)).status, 200)
  t.match(await json('db status'), { kind: 'embedded', data_dir: dataDir, pending: 0 })
  t.match(await gw('user add x --balance 1'), { code: 0, stderr: '' })
  child.kill('SIGTERM')
  t.same(await ended, [0, null])
  matchAll(t, await json('user list'), [{ name: 'x' }], 'and the records are there without it')
})

async function freeAddress(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return `127.0.0.1:${port}`
}

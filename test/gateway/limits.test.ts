// Limits and bytes: places are given back whatever the client does, and what passes through is neither held nor changed.

import { hash } from 'node:crypto'
import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import pino from 'pino'
import t, { type Test } from 'tap'
import type { Stats } from '../../src/mock/stats.ts'
import type { Step } from '../../src/mock/step.ts'
import { gateway, hello, type TestGateway, until } from '../helpers/gateway.ts'
import { matchAll } from '../helpers/match.ts'
import { type Refusal, refused } from '../helpers/refused.ts'
import { connect, head, post, sockets } from '../helpers/wire.ts'

const MB = 1024 * 1024

/** A request on a connection of its own, whose answer the test reads when it likes. */
async function ask(gw: TestGateway, body: object): Promise<IncomingMessage> {
  const headers = { 'x-api-key': gw.key, 'content-type': 'application/json' }
  const request = http.request(`${gw.url}/v1/messages`, { method: 'POST', agent: false, headers })
  request.end(JSON.stringify(body))
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return response
}

/** What the provider recorded of the request behind this reply. */
function seenBehind(stats: Stats, reply: Response | IncomingMessage) {
  const id =
    reply instanceof Response ? reply.headers.get('x-upstream-request-id') : reply.headers['x-upstream-request-id']
  return stats.bodies.find(seen => seen.id === id)!
}

/** Each in full, and with the time to come back. */
async function allRefused(t: Test, replies: Response[], refusal: Refusal): Promise<void> {
  await refused(t, replies[0]!.clone(), refusal)
  const told = await Promise.all(
    replies.map(async reply => {
      const { error } = (await reply.json()) as { error: { code: string } }
      return `${reply.status} ${error.code}, ${/^[1-9]\d*$/.test(reply.headers.get('retry-after') ?? '') ? 'with' : 'without'} the time to come back`
    }),
  )
  t.strictSame(told, Array(replies.length).fill(`429 ${refusal[2]}, with the time to come back`))
}

t.test('a user has as many requests at once as it may, and not one more', async t => {
  const gw = await gateway(t, { user: { concurrency: 5 }, config: { 'queue.seats': 0 } })
  gw.mock.script('*', { hold: true })
  const replies = Array.from({ length: 100 }, (_, i) => gw.send(hello({ stream: i % 2 === 0 })))
  let answered = 0
  for (const reply of replies) void reply.then(() => answered++)
  await gw.mock.until(stats => stats.holding === 5)
  await until(t, 'five wait, and the other 90 are told at once', () => answered === 90)
  matchAll(t, (await gw.live()).users, [{ name: 'alice', slots: { used: 5, limit: 5 } }])
  matchAll(t, (await gw.live()).users, [{ waiting: 5 }])
  gw.mock.release()
  await gw.mock.until(stats => stats.holding === 5 && stats.requests === 10)
  gw.mock.release()
  const all = await Promise.all(replies)
  t.equal(all.filter(reply => reply.status === 200).length, 10)
  await allRefused(
    t,
    all.filter(reply => reply.status !== 200),
    [429, 'rate_limit_error', 'QUEUE_FULL', 'Too many pending requests (5 may wait), please retry later.'],
  )
  t.match(gw.mock.stats(), { requests: 10, maxConcurrency: 5 }, 'as the provider saw it')

  await t.test('also while places change hands all the time', async t => {
    gw.mock.reset()
    gw.mock.script('*', { gapMs: 1 })
    let refusals = 0
    const client = async (i: number) => {
      for (let left = 5; left > 0; ) {
        const reply = await gw.send(hello({ stream: i % 2 === 0 }))
        await reply.arrayBuffer()
        if (reply.status === 200) left--
        else refusals++
      }
    }
    await Promise.all(Array.from({ length: 20 }, (_, i) => client(i)))
    t.ok(refusals > 0, 'they really were in each other’s way')
    t.match(gw.mock.stats(), { requests: 100, completed: 100, maxConcurrency: 5 })
  })

  await gw.set.user('alice', { concurrency: 1 })
  for (let i = 0; i < 40; i++) {
    const reply = await gw.send(hello({ stream: i % 2 === 0 }))
    await reply.arrayBuffer()
    if (reply.status !== 200) t.fail(`request ${i} of a client that waits for each answer got ${reply.status}`)
  }
  t.equal(gw.mock.stats().requests, 140)
})

t.test('an account has as many requests at once as it may, and not one more', async t => {
  const gw = await gateway(t, {
    accounts: [
      { name: 'a', concurrency: 3 },
      { name: 'b', concurrency: 4 },
    ],
    config: { 'queue.account_seats': 0 },
  })
  gw.mock.script('*', { hold: true })
  const replies = Array.from({ length: 100 }, (_, i) => gw.send(hello({ stream: i % 2 === 0 })))
  let answered = 0
  for (const reply of replies) void reply.then(() => answered++)
  await gw.mock.until(stats => stats.holding === 7)
  await until(t, 'the other 93 are told at once', () => answered === 93)
  gw.mock.release()
  const all = await Promise.all(replies)
  t.equal(all.filter(reply => reply.status === 200).length, 7)
  await allRefused(
    t,
    all.filter(reply => reply.status !== 200),
    [429, 'rate_limit_error', 'QUEUE_FULL', 'Too many pending requests (0 may wait), please retry later.'],
  )
  t.match(gw.mock.stats('cred-a'), { requests: 3, maxConcurrency: 3 })
  t.match(gw.mock.stats('cred-b'), { requests: 4, maxConcurrency: 4 })
})

t.test('a client that leaves takes its request with it, wherever that is', async t => {
  // No connection is kept, so that every socket left behind can be seen.
  const gw = await gateway(t, { user: { concurrency: 1 }, config: { 'upstream.idle_connections': 0 } })
  interface Phase {
    stream: boolean
    script: Step
    /** what the client has read when it leaves */
    read?: RegExp
    completed?: true
    /** the client has its whole answer; only the provider's connection is still open */
    over?: true
  }
  const phases: Record<string, Phase> = {
    'before the head': { stream: false, script: { hold: 'start' } },
    'before the head of a stream': { stream: true, script: { hold: 'start' } },
    'after the head': { stream: false, script: { hold: 0 } },
    'before the first frame': { stream: true, script: { hold: 0 } },
    'after pings alone': { stream: true, script: { body: 'event: ping\ndata: {"type":"ping"}\n\n', hold: 1 } },
    'mid-stream': { stream: true, script: { hold: 4 }, read: /text_delta/ },
    'in the middle of a body': { stream: false, script: { hold: 1 } },
    'after the last frame, before the end': { stream: true, script: { hold: 99 }, read: /\r\n0\r\n\r\n$/, over: true },
    'after the last byte': { stream: true, script: {}, read: /\r\n0\r\n\r\n$/, completed: true },
    'after the last byte of a body': {
      stream: false,
      script: {},
      read: /"service_tier":"standard"}}$/,
      completed: true,
    },
  }
  const before = sockets()
  let early = 0
  for (const how of ['leave', 'reset'] as const)
    for (const [name, { stream, script, read, completed, over }] of Object.entries(phases)) {
      gw.mock.reset()
      gw.mock.script('*', script)
      const client = await connect(t, gw.url)
      await client.write(post(gw.key, hello({ stream, model: `${name}, ${how}` })))
      if (!completed) await gw.mock.until(stats => stats.holding === 1)
      if (read) await client.saw(read)
      client[how]()
      const { aborted, requests } = await gw.mock.until(stats => stats.inFlight === 0)
      t.strictSame({ aborted, requests }, { aborted: completed ? 0 : 1, requests: 1 }, `${name}, ${how}`)
      await until(t, `no socket is left: ${name}, ${how}`, () => sockets() === before)
      const { users, accounts, in_flight } = await gw.live()
      matchAll(
        t,
        { users, accounts, in_flight },
        { users: [{ slots: { used: 0 } }], accounts: [{ slots: { used: 0 } }], in_flight: 0 },
      )
      if (!completed && !over) early++
    }

  gw.mock.reset()
  const request = post(gw.key, hello({ stream: true }))
  for (const how of ['leave', 'reset'] as const)
    for (const part of [10, request.length - 10]) {
      const client = await connect(t, gw.url)
      await client.write(request.slice(0, part))
      if (part > 10) await until(t, 'the gateway waits for the rest', () => gw.daemon.gateway.live.size === 1)
      client[how]()
      await until(t, `no socket is left: sending, ${how}`, () => sockets() === before)
      t.equal(gw.daemon.gateway.live.size, 0)
      if (part > 10) early++
    }
  t.equal(gw.mock.stats().requests, 0, 'half a request reaches nobody')

  const rows = new Map((await gw.usage(4)).map(row => [row.model, row]))
  for (const how of ['leave', 'reset'] as const) {
    t.match(rows.get(`mid-stream, ${how}`), { partial: true, status: 499 }, 'what was used is on the bill')
    t.ok(rows.get(`mid-stream, ${how}`)!.input_tokens > 0)
    t.match(rows.get(`after the last frame, before the end, ${how}`), { partial: false }, 'it had the whole answer')
  }
  t.match(await (await fetch(`${gw.daemon.opsUrl}/metrics`)).text(), `status="499",code="CLIENT_GONE"} ${early}\n`)
})

t.test('200 streams at once: every byte is the provider’s, and each client gets its own', async t => {
  const gw = await gateway(t, { accounts: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] })
  gw.mock.script('*', { chunks: [...'Grüße 🦊'], gapMs: 5, pings: 3, hold: 4 })
  const streams = Array.from({ length: 200 }, async (_, i) => {
    const body = hello({ stream: true, metadata: { user_id: 'x'.repeat(i) } })
    const reply = await gw.send(body)
    return { body, reply, bytes: Buffer.from(await reply.arrayBuffer()) }
  })
  await gw.mock.until(({ holding }) => holding === 200, undefined, 20_000)
  gw.mock.release()
  const replies = await Promise.all(streams)
  const stats = await gw.mock.until(s => s.inFlight === 0)
  const wrong = replies.filter(({ body, reply, bytes }) => {
    const seen = seenBehind(stats, reply)
    return seen.body !== JSON.stringify(body) || seen.responseSha256 !== hash('sha256', bytes)
  })
  t.equal(wrong.length, 0)
  t.equal(new Set(replies.map(({ reply }) => reply.headers.get('x-request-id'))).size, 200)
  const rows = await gw.usage(200)
  t.equal(rows.length, 200)
  const { billed } = gw.mock.stats()
  t.strictSame(
    {
      input: rows.reduce((n, row) => n + row.input_tokens, 0),
      output: rows.reduce((n, row) => n + row.output_tokens, 0),
    },
    { input: billed.input_tokens, output: billed.output_tokens },
    'the ledger comes to what the provider says',
  )
})

/** Waits until a number has stopped changing, and returns it. */
async function settled(t: Test, what: string, read: () => number): Promise<number> {
  let last = -1
  let times = 0
  await until(t, `${what} stops changing`, () => {
    times = read() === last ? times + 1 : 0
    last = read()
    return times === 60
  })
  return last
}

t.test('a slow reader slows the provider down, and loses nothing', async t => {
  const gw = await gateway(t)
  gw.mock.script('*', { hugeBytes: 48 * MB, usage: { output_tokens: 60 } })
  const reply = await ask(gw, hello({ stream: true }))
  reply.pause()
  const sent = () => gw.mock.stats().bodies[0]!.responseBytes
  await until(t, 'the provider has begun', () => sent() > MB)
  const most = await settled(t, 'what the provider has sent', sent)
  t.ok(most < 24 * MB, `${Math.round(most / MB)} MB are on their way, the rest waits at the provider`)
  const chunks: Buffer[] = []
  for await (const chunk of reply) chunks.push(chunk)
  t.equal(hash('sha256', Buffer.concat(chunks)), (await gw.mock.until(s => s.inFlight === 0)).bodies[0]!.responseSha256)
  matchAll(t, await gw.usage(1), [{ partial: false, status: 200 }])
})

t.test('a client that has stopped reading for good is let go of', async t => {
  const gw = await gateway(t, { config: { 'timeouts.idle': 300, 'upstream.idle_connections': 0 } })
  const before = sockets()
  for (const [name, stream, hugeBytes] of [
    ['in mid-stream', true, 32 * MB],
    ['with a whole answer half read', false, 16 * MB],
  ] as const) {
    gw.mock.script('*', { hugeBytes })
    const reply = await ask(gw, hello({ stream }))
    reply.on('error', () => {})
    reply.pause()
    await until(t, `no socket but the client’s own is left: ${name}`, () => sockets() === before + 1)
    t.equal(gw.daemon.gateway.live.size, 0)
    reply.destroy()
    await until(t, 'nor that one', () => sockets() === before)
  }
  t.equal(gw.mock.stats().inFlight, 0)
})

t.test('every shape a stream can have arrives as it was sent, and is understood', async t => {
  const gw = await gateway(t)
  const text = 'naïve 🦊🇯🇵 é\u0301 ﷽ \u2028 \\n "quoted" </script> \0 '.repeat(5)
  const shapes: Record<string, Step> = {
    plain: { text },
    'characters cut in two': { text, splitUtf8: true },
    CRLF: { text, eol: 'crlf' },
    CR: { text, eol: 'cr' },
    'CRLF, a byte at a time': { text: 'née 🦊', eol: 'crlf', drip: { bytes: 1, everyMs: 0 } },
    'an event of 5 MB': { hugeBytes: 5 * MB },
    'an event of 5 MB in CR': { hugeBytes: 5 * MB, eol: 'cr' },
    'no event lines': { text, unnamed: true },
    'pings everywhere': { text, pings: 1 },
    'thinking and tools': { thinking: text, text, tools: [{ name: 'look', input: { q: text, n: 1 } }] },
    'no text at all': { chunks: [''] },
    'events nobody knows': {
      body: `: a comment\n\nevent: future\nid: 7\nretry: 5\ndata: {"type":"future"}\ndata:\n\nevent: message_start\ndata:{"type":"message_start","message":{"usage":{"input_tokens":3,"output_tokens":1}}}\n\nevent: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":5}}   \n\nevent: message_stop\ndata: {"type":"message_stop"}`,
      usage: { input_tokens: 3, output_tokens: 5 },
    },
  }
  const wholeToo = ['plain', 'characters cut in two', 'an event of 5 MB', 'thinking and tools']
  for (const [name, script] of Object.entries(shapes))
    for (const stream of wholeToo.includes(name) ? [true, false] : [true]) {
      gw.mock.reset()
      gw.mock.script('*', { usage: { input_tokens: 3, output_tokens: 5 }, ...script })
      const reply = await gw.send(hello({ model: name, stream, tools: [] }))
      const bytes = Buffer.from(await reply.arrayBuffer())
      // The client has its last event before the provider has written its last byte.
      const seen = seenBehind(await gw.mock.until(stats => stats.inFlight === 0), reply)
      t.strictSame(
        { bytes: bytes.length, sha256: hash('sha256', bytes) },
        { bytes: seen.responseBytes, sha256: seen.responseSha256 },
        `${name}, ${stream ? 'streamed' : 'whole'}`,
      )
    }
  const rows = await gw.usage(Object.keys(shapes).length + wholeToo.length)
  for (const { model, stream, input_tokens, output_tokens, partial } of rows)
    t.strictSame(
      { input_tokens, output_tokens, partial },
      { input_tokens: 3, output_tokens: 5, partial: false },
      `${model} ${stream}`,
    )
})

/** A POST with these header lines exactly as they are. */
async function withHeaders(gw: TestGateway, lines: [name: string, value: string][], path = '/v1/messages') {
  const body = JSON.stringify(hello())
  const request = http.request(gw.url + path, { method: 'POST', agent: false, setHost: false })
  for (const name of new Set(lines.map(line => line[0])))
    request.setHeader(
      name,
      lines.filter(line => line[0] === name).map(line => line[1]),
    )
  request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  response.resume()
  await once(response, 'end')
  return response
}

t.test('of a client’s headers the provider gets those it may, as they came, and no other', async t => {
  const gw = await gateway(t)
  const kept: [string, string][] = [
    ['accept', 'application/json'],
    ['content-type', 'application/json; charset=utf-8'],
    ['user-agent', 'claude-cli/2.1.330 (external, cli)'],
    ['accept-language', 'de, en;q=0.5'],
    ['sec-fetch-mode', 'cors'],
    ['x-app', 'cli'],
    ['anthropic-version', '2026-10-21'],
    ['anthropic-beta', 'claude-code-20250219, interleaved-thinking-2025-05-14'],
    ['anthropic-dangerous-direct-browser-access', 'true'],
    ['anthropic-user-profile-id', 'p-1'],
    ['anthropic-some-day', 'new'],
    ['x-stainless-lang', 'js'],
    ['x-stainless-package-version', '1.12.0'],
    ['x-stainless-os', 'Linux'],
    ['x-stainless-arch', 'x64'],
    ['x-stainless-runtime', 'node'],
    ['x-stainless-runtime-version', 'v24.21.0'],
    ['x-stainless-retry-count', '0'],
    ['x-stainless-timeout', '600'],
    ['x-stainless-helper-method', 'stream'],
  ]
  const dropped: [string, string][] = [
    ['host', 'gw.example'],
    ['accept-encoding', 'gzip, br, zstd'],
    ['x-api-key', gw.key],
    ['authorization', `Bearer ${gw.key}`],
    ['x-goog-api-key', gw.key],
    ['proxy-authorization', 'Basic c2VjcmV0'],
    ['cookie', 'session=secret'],
    ['connection', 'keep-alive, x-stainless-hop, Anthropic-Hop'],
    ['x-stainless-hop', 'named by connection'],
    ['anthropic-hop', 'named by connection'],
    ['keep-alive', 'timeout=5'],
    ['proxy-connection', 'keep-alive'],
    ['te', 'trailers'],
    ['trailer', 'x-sum'],
    ['via', '1.1 nginx'],
    ['forwarded', 'for=192.0.2.1'],
    ['x-forwarded-for', '192.0.2.1'],
    ['x-forwarded-host', 'gw.example'],
    ['x-forwarded-proto', 'https'],
    ['x-forwarded-port', '443'],
    ['x-real-ip', '192.0.2.1'],
    ['cf-connecting-ip', '192.0.2.1'],
    ['true-client-ip', '192.0.2.1'],
    ['origin', 'https://app.example'],
    ['referer', 'https://app.example/chat'],
    ['sec-fetch-site', 'cross-site'],
    ['sec-ch-ua', '"Chromium";v="150"'],
    ['x-request-id', 'mine'],
    ['request-id', 'mine'],
    ['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
    ['baggage', 'user=alice'],
    ['x-amzn-trace-id', 'Root=1-5'],
    ['x-csrf-token', 'secret'],
    ['x-internal-user', 'alice'],
    ['x-http-method-override', 'DELETE'],
    ['if-none-match', '"1"'],
    ['range', 'bytes=0-1'],
    ['cache-control', 'no-cache'],
    ['priority', 'u=1'],
    ['date', 'Mon, 23 Nov 2026 00:00:00 GMT'],
  ]
  t.equal(kept.length + dropped.length, 60)
  t.equal((await withHeaders(gw, [...kept, ...dropped])).statusCode, 200)
  t.strictSame(gw.mock.stats().bodies[0]!.headers, {
    ...Object.fromEntries(kept),
    host: new URL(gw.mock.url).host,
    'accept-encoding': 'identity',
    'x-api-key': gw.credential('a1'),
    'content-length': String(JSON.stringify(hello()).length),
    connection: 'keep-alive',
  })
  await withHeaders(gw, [
    ['host', 'gw'],
    ['x-api-key', gw.key],
    ['anthropic-beta', 'b'],
    ['anthropic-beta', 'a,c'],
  ])
  t.match(gw.mock.stats().bodies[1]!.headers, { 'anthropic-beta': 'b, a,c', 'anthropic-version': '2023-06-01' })
})

t.test('of the provider’s headers the client gets what the answer needs, and nothing about the account', async t => {
  const gw = await gateway(t)
  const headers = {
    'set-cookie': ['session=secret; Path=/', '__cf_bm=1'],
    'anthropic-organization-id': 'org-secret',
    'anthropic-ratelimit-requests-limit': '50',
    'anthropic-ratelimit-requests-remaining': '49',
    'anthropic-ratelimit-unified-status': 'allowed',
    'anthropic-ratelimit-unified-5h-utilization': '0.42',
    'x-ratelimit-limit-requests': '50',
    server: 'cloudflare',
    'cf-ray': '8a1-FRA',
    via: '1.1 google',
    'x-envoy-upstream-service-time': '12',
    'strict-transport-security': 'max-age=1',
    'content-security-policy': "default-src 'none'",
    'access-control-allow-origin': '*',
    'x-request-id': 'theirs',
    'proxy-authenticate': 'Basic',
  }
  const always = [
    'connection',
    'content-type',
    'date',
    'keep-alive',
    'request-id',
    'x-request-id',
    'x-upstream-request-id',
  ]
  const names = (reply: Response) => [...reply.headers.keys()]
  gw.mock.script('*', { headers })
  t.strictSame(names(await gw.send(hello())), [...always, 'content-length'].sort(), 'a whole answer')
  t.strictSame(
    names(await gw.send(hello({ stream: true }))),
    [...always, 'cache-control', 'transfer-encoding', 'x-accel-buffering'].sort(),
    'a stream',
  )
  gw.mock.script('*', { headers, status: 400 })
  t.strictSame(names(await gw.send(hello())), [...always, 'content-length'].sort(), 'a mistake of the client’s')
})

t.test('a key and a credential each stay on their own side, and neither comes into the log', async t => {
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: line => void lines.push(line) })
  const gw = await gateway(t, {
    log,
    accounts: [{ name: 'a' }, { name: 'b', oauth: true }, { name: 'c' }, { name: 'd', oauth: true }],
  })
  // Credentials that can be told from everything else: two good ones, one that node refuses to send, one that is no JSON.
  const ours = [
    'sk-ant-api03-canary-upstream-a',
    'sk-ant-oat01-canary-upstream-b',
    'canary-upstream\nc',
    'canary-upstream-d',
  ]
  await gw.set.account('a', { credential: ours[0]!, priority: 1 })
  await gw.set.account('b', { credential: JSON.stringify({ access_token: ours[1] }), priority: 2 })
  await gw.set.account('c', { credential: ours[2]!, priority: 3 })
  await gw.set.account('d', { credential: ours[3]!, priority: 4 })
  const theirs = [gw.key, 'sk-canary-unknown']
  let heard = ''
  const say = async (headers: Record<string, string>, path = '/v1/messages', stream = false) => {
    const wire = await connect(t, gw.url)
    const body = JSON.stringify(hello({ stream }))
    await wire.write(head(`POST ${path}`, { ...headers, connection: 'close', 'content-length': body.length }) + body)
    await wire.end()
    heard += wire.text
  }
  const steps: Step[] = [
    {},
    { status: 400 },
    { status: 401, error: { message: `invalid x-api-key: ${ours[0]}` } },
    { status: 429 },
    { status: 529 },
    { reset: 'start' },
    { reset: 3 },
    { errorAt: 2 },
    { body: '<html>' },
  ]
  const everyWay = async (key: string, stream: boolean) => {
    await say({ 'x-api-key': key }, undefined, stream)
    await say({ authorization: `Bearer ${key}` }, undefined, stream)
    await say({ 'x-goog-api-key': key }, undefined, stream)
    await say({}, `/v1/messages?beta=true&key=${key}`, stream)
    await say({}, `/v1/messages?api%5Fkey=${key}`, stream)
  }
  for (const step of steps) {
    gw.mock.script('*', step)
    for (const stream of [true, false]) {
      // Or the accounts would soon be out, and nothing could leak any more.
      await gw.heal()
      await everyWay(theirs[0]!, stream)
    }
  }
  await everyWay(theirs[1]!, false)
  await say({}, `/v1/unknown?key=${gw.key}`)
  await say({ cookie: `key=${gw.key}`, 'x-api-key': gw.key })
  for (const account of ['a', 'b']) await gw.set.account(account, { status: 'paused' })
  await say({ 'x-api-key': gw.key })
  t.match(heard, 'UPSTREAM_UNAUTHORIZED', 'the credentials that are no good were tried')
  const saw = JSON.stringify([gw.mock.stats().bodies, ...ours.map(credential => gw.mock.stats(credential).bodies)])
  t.match(saw, ours[0], 'the provider did get its credential')
  for (const key of theirs) {
    t.notMatch(saw, key, 'no key of a client reaches a provider')
    t.notMatch(lines.join(''), key, 'no key of a client comes into the log')
  }
  t.notMatch(heard, 'canary-upstream', 'no credential reaches a client')
  t.notMatch(lines.join(''), 'canary-upstream', 'no credential comes into the log')
  t.ok(lines.length > 100, 'there was a log')
})

// The mock at its worst: every way in which a provider can be late, break off or garble.

import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib'
import Anthropic from '@anthropic-ai/sdk'
import t from 'tap'
import { matchAll } from '../helpers/match.ts'
import { ask, mockFor, namesOf, rawly, streaming, whole } from './ask.ts'

const start = ['message_start', 'content_block_start']

/** How many events a raw answer holds. */
const count = (text: string) => text.match(/^event: /gm)?.length ?? 0

t.test('breaks off by reset, by close or in good order, at every point', async t => {
  const chunks = ['a', 'b']
  const mock = await mockFor(t, [
    { chunks, reset: 'start' },
    { chunks, reset: 0 },
    { chunks, reset: 3 },
    { chunks, reset: 99 },
    { chunks, close: 'start' },
    { chunks, close: 0 },
    { chunks, close: 3 },
    { chunks, end: 3 },
    { chunks },
  ])
  const seen = []
  for (let n = 0; n < 9; n++) {
    const { text, end } = await rawly(mock)
    seen.push([text.slice(0, 12), count(text), text.endsWith('0\r\n\r\n'), end])
  }
  t.same(seen, [
    ['', 0, false, 'RST'],
    ['HTTP/1.1 200', 0, false, 'RST'],
    ['HTTP/1.1 200', 3, false, 'RST'],
    ['HTTP/1.1 200', 7, false, 'RST'],
    ['', 0, false, 'FIN'],
    ['HTTP/1.1 200', 0, false, 'FIN'],
    ['HTTP/1.1 200', 3, false, 'FIN'],
    ['HTTP/1.1 200', 3, true, 'FIN'],
    ['HTTP/1.1 200', 7, true, 'FIN'],
  ])
  t.match(mock.stats('k'), { cut: 8, completed: 1, aborted: 0, inFlight: 0, statuses: { 200: 7 } })
  t.equal(mock.stats('k').billed.requests, 2, 'the one that was cut after its usage was told, and the good one')
  t.same(
    mock.stats('k').bodies.map(seen => seen.events),
    [0, 0, 3, 7, 0, 0, 3, 3, 7],
  )
})

t.test('a body that is no stream breaks off in its middle', async t => {
  const mock = await mockFor(t, [{ close: 1 }, { end: 1 }, { reset: 1 }])
  const closed = await ask(mock, { body: whole })
  t.match(closed, { status: 200, failure: 'ECONNRESET' })
  t.equal(closed.body.length, Math.ceil(Number(closed.headers['content-length']) / 2))
  const ended = await ask(mock, { body: whole })
  t.match(ended, { failure: null, text: /^\{/ })
  t.throws(() => JSON.parse(ended.text))
  t.match(await ask(mock, { body: whole }), { failure: 'ECONNRESET' })
})

t.test('holds until released, at one point after the other', async t => {
  const mock = await mockFor(t, { chunks: ['a'], hold: ['start', 0, 2, 99] })
  const answer = ask(mock)
  for (const events of [0, 0, 2, 6]) {
    const { bodies } = await mock.until(stats => stats.holding === 1 && stats.bodies[0]?.events === events, 'k')
    t.equal(bodies[0]?.outcome, 'open')
    mock.release('k')
    await mock.until(stats => stats.holding === 0 || stats.bodies[0]?.events !== events, 'k')
  }
  t.match(await answer, { failure: null, text: /message_stop/ })
})

t.test('notices a client that goes away, wherever the reply is', async t => {
  const big = 'x'.repeat(20_000_000)
  for (const [step, reached] of [
    [{ hold: true }, 'holding'],
    [{ hold: 3 }, 'holding'],
    [{ delayMs: 3_600_000 }, 'inFlight'],
    [{ gapMs: 3_600_000 }, 'inFlight'],
    [{ drip: { bytes: 1, everyMs: 3_600_000 } }, 'inFlight'],
    [{ text: big, hold: 99 }, 'inFlight'],
  ] as const) {
    const mock = await mockFor(t, step)
    const client = new AbortController()
    const answer = ask(mock, { signal: client.signal })
    await mock.until(stats => stats[reached] === 1, 'k')
    client.abort()
    const stats = await mock.until(stats => stats.aborted === 1, 'k', 5_000)
    matchAll(t, stats, {
      inFlight: 0,
      completed: 0,
      billed: { requests: 0 },
      bodies: [{ outcome: 'aborted', usage: null }],
    })
    t.equal(stats.lastAbortAt, stats.bodies[0]?.closedAt)
    await answer
    t.equal(mock.stats('k').holding, 0)
  }
})

t.test('counts how many requests were there at once', async t => {
  const mock = await mockFor(t, { hold: 1 })
  const answers = [ask(mock), ask(mock), ask(mock)]
  await mock.until(stats => stats.holding === 3, 'k')
  mock.release()
  await Promise.all(answers)
  mock.script('k', {})
  for (let n = 0; n < 3; n++) await ask(mock)
  t.match(mock.stats('k'), { maxConcurrency: 3, inFlight: 0, completed: 6 })
})

t.test('says an error inside a 200', async t => {
  const error = { type: 'overloaded_error', message: 'too much' }
  const mock = await mockFor(t, { error, errorAt: 2 })
  t.same(namesOf((await ask(mock)).text), [...start, 'error'])
  t.equal((await ask(mock, { body: whole })).status, 529, 'without a stream it is a refusal')
  mock.script('k', { error, errorAt: 0 })
  t.same(namesOf((await ask(mock)).text), ['error'])
  const sdk = new Anthropic({ apiKey: 'k', baseURL: mock.url, maxRetries: 0 })
  const question = { ...whole, stream: false as const, messages: [{ role: 'user' as const, content: 'hi' }] }
  await t.rejects(sdk.messages.stream(question).finalMessage(), { message: /overloaded_error/ })
  t.match(mock.stats('k'), { completed: 4, billed: { requests: 0 } })
})

t.test('garbles: broken JSON, no event names, other line ends, wrong type', async t => {
  const mock = await mockFor(t, [
    { brokenAt: 1, headers: { 'Content-Type': 'text/plain' } },
    { unnamed: true },
    { eol: 'crlf' },
    { eol: 'cr' },
    { brokenAt: 0 },
  ])
  const broken = await ask(mock)
  t.equal(broken.headers['content-type'], 'text/plain')
  const blocks = broken.text.split('\n\n').map(block => block.split('data: ')[1] ?? '{}')
  t.throws(() => JSON.parse(blocks[1]!))
  for (const [nth, block] of blocks.entries()) if (nth !== 1) JSON.parse(block)

  t.notMatch((await ask(mock)).text, /^event:/m)
  const crlf = (await ask(mock)).text
  t.match(crlf, /^event: message_start\r\ndata: .*\r\n\r\nevent: /)
  t.notMatch(crlf, /[^\r]\n/)
  t.match((await ask(mock)).text, /^event: message_start\rdata: [^\n]*\r\revent: /)
  const body = await ask(mock, { body: whole })
  t.throws(() => JSON.parse(body.text))
  t.equal(Number(body.headers['content-length']), body.body.length)
})

t.test('cuts the bytes small, inside characters, and compresses them', async t => {
  const chunks = ['grüße ', '日本 ', '🙂🙂']
  const mock = await mockFor(t, { chunks })
  const plain = await ask(mock)
  t.equal(plain.chunks.length, 1, 'an undelayed reply is one write')

  mock.script('k', { chunks, drip: { bytes: 100, everyMs: 0 } })
  const dripped = await ask(mock)
  t.ok(dripped.chunks.every(chunk => chunk.length <= 100))
  t.equal(dripped.text, plain.text)

  mock.script('k', { chunks, splitUtf8: true })
  const split = await ask(mock)
  t.equal(split.text, plain.text)
  const cutInside = split.chunks.filter(chunk => (chunk[0]! & 0xc0) === 0x80)
  t.equal(cutInside.length, 'üß日本🙂🙂'.match(/./gu)!.length)

  for (const [encoding, decode] of [
    ['gzip', gunzipSync],
    ['deflate', inflateSync],
    ['br', brotliDecompressSync],
    ['zstd', zstdDecompressSync],
  ] as const) {
    mock.script('k', { chunks, encoding })
    for (const body of [streaming, whole]) {
      const packed = await ask(mock, { body })
      t.equal(packed.headers['content-encoding'], encoding)
      if (body.stream) t.equal(decode(packed.body).toString(), plain.text)
      else t.match(JSON.parse(decode(packed.body).toString()), { stop_reason: 'end_turn' })
      t.equal(packed.failure, null)
    }
  }
})

t.test('a huge event and a recorded stream go out as they are', async t => {
  const recorded = 'event: message_start\ndata: {}\n\n: note\n\ndata: {}\n\n'
  const mock = await mockFor(t, [{ hugeBytes: 3_000_000 }, { body: recorded, end: 2 }, { body: recorded }])
  const huge = await ask(mock)
  t.ok(huge.body.length > 3_000_000)
  t.equal(huge.body.length, mock.stats('k').bodies[0]?.responseBytes)
  t.equal((await ask(mock)).text, 'event: message_start\ndata: {}\n\n: note\n\n')
  t.match(await ask(mock), { text: recorded, headers: { 'content-type': /event-stream/ } })
})

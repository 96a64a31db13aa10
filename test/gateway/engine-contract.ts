// What every engine promises: asked on raw sockets, where an upstream can do whatever TCP and TLS allow. Long, because each way to fail is a case.
import { hash } from 'node:crypto'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import type tls from 'node:tls'
import type { Test } from 'tap'
import type { Engine, EngineOptions } from '../../src/gateway/ask/engine/engine.ts'
import { generator } from '../dialect/random.ts'
import { until } from '../helpers/gateway.ts'
import { type Asked, answering, ask, closes, type Line, localhost, type Peer, peer, turn } from '../helpers/peer.ts'

/** What engines may do differently, each with the reason why that is no harm. */
export interface Differences {
  /** Of answers that two readers could read in two ways: `refused` by all, but these are read by this engine. */
  lenient: readonly string[]
  /** A connection made afresh is kept after its answer; where it is not, the next request makes another. */
  keepsFresh: boolean
  /** A request that has its answer already is still written to its end, and its connection kept. */
  writesOn: boolean
  /** A TLS session is taken up again on a connection made afresh. */
  resumes: boolean
  /** The code when the head of an answer breaks off; in no case one that says the connection was merely closed. */
  brokenHead: readonly string[]
}

const MB = 1024 * 1024
const hi = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi'
const chunked = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'
const evil = 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nEVIL'

/** Numbers in [0, 1), the same in every run. */
function seeded(seed: number): () => number {
  const random = generator(seed)
  return () => random(1_000_000) / 1_000_000
}

export function engineContract(
  t: Test,
  make: (options: EngineOptions) => Promise<Engine>,
  differences: Differences,
): void {
  const engineOf = async (t: Test, options: Partial<EngineOptions> = {}) => {
    const engine = await make({ idleConnections: 16, ...options })
    t.teardown(() => engine.close())
    return engine
  }
  const saying = (text: string) => answering((_request, line) => line.say(text))
  /** The answer to a request to an upstream that says only this, and then hangs up if it is told to. */
  const answerTo = async (t: Test, said: string, then: 'stay' | 'FIN' | 'RST' = 'stay'): Promise<[Asked, Peer]> => {
    const engine = await engineOf(t)
    const up = await peer(t, async line => {
      await line.request()
      line.socket.write(said, () => {
        if (then === 'FIN') line.socket.end()
        else if (then === 'RST') line.socket.resetAndDestroy()
      })
    })
    return [await ask(t, engine, up.origin).over(), up]
  }

  t.test('a request arrives as it was meant, and its answer comes back', async t => {
    const engine = await engineOf(t)
    const seen: { head: string; body: Buffer }[] = []
    const up = await peer(
      t,
      answering((request, line) => {
        seen.push(request)
        line.say(hi)
      }),
    )
    const big = Buffer.alloc(3 * MB, 'abc')
    const questions = [
      {
        path: '/v1/messages?beta=true',
        headers: { 'x-api-key': 'sk-ü', 'x-two': ['a', 'b'] },
        body: [Buffer.from('one')],
      },
      { body: [Buffer.from('begins, '), big, Buffer.from(', ends')] },
      { body: [Buffer.alloc(0)] },
      { method: 'GET', path: '/models', body: [Buffer.alloc(0)] },
    ]
    for (const question of questions) {
      const asked = await ask(t, engine, up.origin, question).over()
      t.strictSame([asked.answer?.status, asked.text, asked.ended], [200, 'hi', true])
      t.equal(asked.answer?.headers['content-length'], '2')
    }
    const lines = seen[0]!.head.split('\r\n')
    t.equal(lines[0], 'POST /v1/messages?beta=true HTTP/1.1')
    t.strictSame(
      lines
        .slice(1, -2)
        .map(line => line.toLowerCase())
        .sort(),
      [
        'connection: keep-alive',
        'content-length: 3',
        `host: ${up.origin.host}`,
        'x-api-key: sk-ü',
        'x-two: a',
        'x-two: b',
      ],
    )
    t.equal(String(seen[0]!.body), 'one')
    t.equal(hash('sha256', seen[1]!.body), hash('sha256', Buffer.concat(questions[1]!.body)))
    t.match(seen[2]!.head, /^content-length: 0\r$/im)
    t.match(seen[3]!.head, /^GET \/models HTTP/)
    t.notMatch(seen[3]!.head, /content-length|transfer-encoding/i)
    t.equal(up.lines.length, 1, 'all on one connection')
  })

  t.test('what was sent, and on what, is known', async t => {
    const engine = await engineOf(t)
    const up = await peer(t, saying(hi))
    const first = ask(t, engine, up.origin)
    t.strictSame([first.controller.sent, first.controller.reused], [false, false], 'there is no connection yet')
    await first.over()
    t.strictSame([first.controller.sent, first.controller.reused], [true, false])
    const second = ask(t, engine, up.origin)
    await second.over()
    t.strictSame([second.controller.sent, second.controller.reused], [true, true])
    const third = await ask(t, engine, up.origin, { fresh: true }).over()
    t.strictSame([third.controller.sent, third.controller.reused, up.lines.length], [true, false, 2])
    await Promise.all([1, 2, 3].map(() => ask(t, engine, up.origin).over()))
    t.equal(up.lines.length, differences.keepsFresh ? 3 : 4, 'connections are made when all that are kept are busy')
  })

  t.test('headers are joined as node:http joins them', async t => {
    const [{ answer }] = await answerTo(
      t,
      'HTTP/1.1 200 \r\nX-A: 1\r\nx-a:2\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Type: text/a\r\ncontent-type: text/b\r\nRetry-After: 1\r\nretry-after: 2\r\nconstructor: c\r\nX-Blank: \t \r\nX-Spaces: \t a b \t\r\nx-high: \xe9\xa0\r\ncookie: a\r\ncookie: b\r\ncontent-length: 0\r\n\r\n',
    )
    t.strictSame({ ...answer?.headers }, {
      'x-a': '1, 2',
      'set-cookie': ['a=1', 'b=2'],
      'content-type': 'text/a',
      'retry-after': '1',
      constructor: 'c',
      'x-blank': '',
      'x-spaces': 'a b',
      'x-high': Buffer.from('\xe9\xa0').toString('latin1'),
      cookie: 'a; b',
      'content-length': '0',
    } as object)
  })

  t.test('a kept connection that the upstream closes is used no more', async t => {
    const engine = await engineOf(t)
    const up = await peer(t, saying(hi))
    for (const how of ['FIN', 'RST'] as const) {
      await ask(t, engine, up.origin).over()
      const { socket } = up.lines.at(-1)!
      if (how === 'FIN') socket.end()
      else socket.resetAndDestroy()
      await until(t, 'the connection is gone', () => socket.destroyed)
      for (let i = 0; i < 5; i++) await turn()
      const next = await ask(t, engine, up.origin).over()
      t.strictSame([next.text, next.controller.reused], ['hi', false], how)
    }
  })

  t.test('a kept connection that is closed just as a request is written says so', async t => {
    for (const how of ['FIN', 'RST'] as const) {
      const engine = await engineOf(t)
      const up = await peer(
        t,
        answering((_request, line, n) => {
          if (n === 0) line.say(hi)
          else if (how === 'FIN') line.socket.destroy()
          else line.socket.resetAndDestroy()
        }),
      )
      await ask(t, engine, up.origin).over()
      const stale = await ask(t, engine, up.origin).over()
      t.strictSame([stale.controller.reused, stale.controller.sent, stale.answer], [true, true, undefined], how)
      t.ok(['ECONNRESET', 'EPIPE'].includes(stale.error?.code ?? ''), `${how}: ${stale.error?.code}`)
      const again = await ask(t, engine, up.origin, { fresh: true }).over()
      t.strictSame([again.text, again.controller.reused], ['hi', false])
    }
  })

  t.test('a connection that cannot be made has node’s code', async t => {
    const engine = await engineOf(t)
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    await new Promise(resolve => server.close(resolve))
    const refused = await ask(t, engine, new URL(`http://127.0.0.1:${port}`)).over()
    t.strictSame([refused.error?.code, refused.controller.sent], ['ECONNREFUSED', false])
    const unknown = await ask(t, engine, new URL('http://gw.invalid')).over()
    t.ok(['ENOTFOUND', 'EAI_AGAIN'].includes(unknown.error?.code ?? ''), `${unknown.error?.code}`)
  })

  t.test('an upstream that breaks off is a failure, wherever it does', async t => {
    const cases: Record<string, [said: string, codes: readonly string[]]> = {
      'before the head': ['', ['ECONNRESET']],
      'in the head': ['HTTP/1.1 200 OK\r\nx: ', differences.brokenHead],
      'after the head': ['HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n', ['ECONNRESET']],
      'in a body with a length': ['HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel', ['ECONNRESET']],
      'in a chunk': [`${chunked}5\r\nhel`, ['ECONNRESET']],
      'between chunks': [`${chunked}3\r\nhel\r\n`, ['ECONNRESET']],
      'before the last line end': [`${chunked}3\r\nhel\r\n0\r\n`, ['ECONNRESET']],
    }
    for (const [name, [said, codes]] of Object.entries(cases))
      for (const how of ['FIN', 'RST'] as const) {
        const [{ error, ended, text }] = await answerTo(t, said, how)
        // A reset may overtake the bytes before it.
        t.ok(
          error && (codes.includes(error.code!) || (how === 'RST' && error.code === 'ECONNRESET')),
          `${name}, ${how}: ${error?.code}`,
        )
        t.notOk(ended)
        if (how === 'FIN') t.equal(text, said.includes('hel') ? 'hel' : '', 'what came before it was heard')
      }
  })

  t.test('interim answers are passed over', async t => {
    const interim = 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'
    const [one] = await answerTo(t, interim + hi)
    t.strictSame([one.answer?.status, one.text, one.answer?.headers['link']], [200, 'hi', undefined])
    const [many] = await answerTo(t, interim.repeat(200) + hi)
    t.equal(many.error?.code, 'EBADANSWER', 'but not without end')
    const [upgraded] = await answerTo(
      t,
      'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhello',
    )
    t.ok(upgraded.error, `101: ${upgraded.error?.code}`)
    t.equal(upgraded.answer, undefined)
  })

  t.test('a head may be long but not endless', async t => {
    const [long] = await answerTo(t, `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(60_000)}\r\ncontent-length: 2\r\n\r\nhi`)
    t.strictSame([long.text, long.answer?.headers['x']?.length], ['hi', 60_000])
    const [whole] = await answerTo(t, `HTTP/1.1 200 OK\r\nx: ${'x'.repeat(70_000)}\r\ncontent-length: 2\r\n\r\nhi`)
    t.equal(whole.error?.code, 'HPE_HEADER_OVERFLOW')
    const [endless] = await answerTo(t, `HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(50_000)}`)
    t.equal(endless.error?.code, 'HPE_HEADER_OVERFLOW')
    const [trailers] = await answerTo(t, `${chunked}0\r\n${'x: y\r\n'.repeat(50_000)}`)
    t.equal(trailers.error?.code, 'HPE_HEADER_OVERFLOW', 'nor may a trailer')
  })

  t.test('chunks may have extensions and a trailer, and both are dropped', async t => {
    const engine = await engineOf(t)
    const up = await peer(
      t,
      saying(`${chunked}3;a=b;c="d e"\r\nhel\r\n00002\r\nlo\r\n0;last\r\nx-trailer: 1\r\nx-other: 2\r\n\r\n`),
    )
    for (const reused of [false, true]) {
      const asked = await ask(t, engine, up.origin).over()
      t.strictSame([asked.text, asked.ended, asked.controller.reused], ['hello', true, reused])
      t.notOk('x-trailer' in asked.answer!.headers)
    }
  })

  t.test('an answer may be cut anywhere', async t => {
    const whole: Record<string, [said: string, text: string]> = {
      'a length': ['HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx: y\r\nContent-Length: 5\r\n\r\nhello', 'hello'],
      chunks: [`${chunked}3;e=1\r\nhel\r\n0000B\r\nlo, \r\nworld\r\n0\r\nt: r\r\n\r\n`, 'hello, \r\nworld'],
    }
    for (const [name, [said, text]] of Object.entries(whole)) {
      const engine = await engineOf(t)
      let at = 0
      const up = await peer(
        t,
        answering(async (_request, line) => {
          if (at === 0) return line.dribble(said)
          line.say(said.slice(0, at))
          await turn()
          await turn()
          line.say(said.slice(at))
        }),
      )
      const heard: string[] = []
      for (; at < said.length; at++) heard.push((await ask(t, engine, up.origin).over()).text)
      t.strictSame(new Set(heard), new Set([text]), name)
      t.equal(up.lines.length, 1, 'on one connection, which none of them spoiled')
    }
  })

  t.test('what two readers could read in two ways is read by none', async t => {
    const cases: Record<string, string> = {
      'two lengths': 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi!',
      'two lengths in a line': 'HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nhi!',
      'a length with a sign': 'HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nhi',
      'a length that is none': 'HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\nhi',
      'a length and chunks': 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      'chunks and a length': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n',
      'a coding that is not chunked': 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhi',
      'chunked twice': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      'chunks in HTTP/1.0': 'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      'a folded header': 'HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nhi',
      'a space before the colon': 'HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nhi',
      'a header without a colon': 'HTTP/1.1 200 OK\r\nnonsense\r\ncontent-length: 2\r\n\r\nhi',
      'a header without a name': 'HTTP/1.1 200 OK\r\n: x\r\ncontent-length: 2\r\n\r\nhi',
      'a NUL in a header': 'HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nhi',
      'a carriage return in a header': 'HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 2\r\n\r\nhi',
      'bare line feeds': 'HTTP/1.1 200 OK\ncontent-length: 2\n\nhi',
      'a bare line feed': 'HTTP/1.1 200 OK\r\nx: y\ncontent-length: 2\r\n\r\nhi',
      'an empty line first': `\r\n${hi}`,
      'another version': 'HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nhi',
      'another protocol': 'SSH-2.0-OpenSSH_9.9\r\n',
      'a status of two digits': 'HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\nhi',
      'a status that begins with 0': 'HTTP/1.1 020 OK\r\ncontent-length: 2\r\n\r\nhi',
      'a chunk without a size': `${chunked}\r\nhi\r\n0\r\n\r\n`,
      'a chunk size with a sign': `${chunked}-2\r\nhi\r\n0\r\n\r\n`,
      'a chunk size with a space': `${chunked}2 \r\nhi\r\n0\r\n\r\n`,
      'a chunk size beyond all numbers': `${chunked}fffffffffffffffff\r\nhi`,
      'a chunk that is longer than it says': `${chunked}1\r\nhi\r\n0\r\n\r\n`,
      'a chunk that ends in a line feed': `${chunked}2\r\nhi\n0\r\n\r\n`,
      'extensions without end': `${chunked}2;${'x'.repeat(100_000)}`,
    }
    for (const [name, said] of Object.entries(cases)) {
      const [{ error, ended }, up] = await answerTo(t, said, differences.lenient.includes(name) ? 'FIN' : 'stay')
      if (differences.lenient.includes(name)) t.ok(ended, `${name}: read all the same`)
      else {
        t.match(error?.code, /^HPE_/, name)
        await closes(t, () => up.lines[0])
      }
    }
  })

  t.test('a byte behind an answer never reaches the next request', async t => {
    const tails: Record<string, (line: Line, ended: Promise<void>) => unknown> = {
      'in the same write': line => line.say(hi + evil),
      'when the answer has been read': async (line, ended) => {
        line.say(hi)
        await ended
        line.say(evil)
      },
      'after a chunked one': line => line.say(`${chunked}2\r\nhi\r\n0\r\n\r\n${evil}`),
      'behind the empty body of a 204': line => line.say(`HTTP/1.1 204 No Content\r\n\r\n${evil}`),
      'only a line end': line => line.say(`${hi}\r\n`),
    }
    for (const [name, tail] of Object.entries(tails)) {
      const ended = Promise.withResolvers<void>()
      const engine = await engineOf(t)
      const up = await peer(
        t,
        answering((_request, line, n) => (line.index === 0 && n === 0 ? tail(line, ended.promise) : line.say(hi))),
      )
      let next: Asked | undefined
      // Asked in the very moment the first has ended, which is when it could be misled.
      await ask(t, engine, up.origin, {
        onEnd: () => {
          next = ask(t, engine, up.origin)
          ended.resolve()
        },
      }).over()
      for (const asked of [await next!.over(), await ask(t, engine, up.origin).over()])
        t.strictSame([asked.text, asked.error], ['hi', undefined], name)
      if (name !== 'only a line end' || differences.lenient.length === 0) await closes(t, () => up.lines[0])
    }
  })

  t.test('bytes on a connection that rests close it', async t => {
    const engine = await engineOf(t)
    const up = await peer(t, saying(hi))
    await ask(t, engine, up.origin).over()
    up.lines[0]!.say('HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n')
    await closes(t, () => up.lines[0])
    const next = await ask(t, engine, up.origin).over()
    t.strictSame([next.text, next.controller.reused, up.lines.length], ['hi', false, 2])
  })

  t.test('an answer without a length ends with its connection', async t => {
    for (const said of [
      'HTTP/1.1 200 OK\r\n\r\nhello',
      'HTTP/1.0 200 OK\r\n\r\nhello',
      'HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n\r\nhello',
    ]) {
      const [asked] = await answerTo(t, said, 'FIN')
      t.strictSame([asked.text, asked.ended], ['hello', true])
    }
    const [reset] = await answerTo(t, 'HTTP/1.1 200 OK\r\n\r\nhello', 'RST')
    t.equal(reset.error?.code, 'ECONNRESET', 'but not with a reset')
  })

  t.test('a connection that is not to be kept is not', async t => {
    for (const said of [
      'HTTP/1.1 200 OK\r\nConnection: Close\r\ncontent-length: 2\r\n\r\nhi',
      'HTTP/1.1 200 OK\r\nconnection: x, close\r\ncontent-length: 2\r\n\r\nhi',
      'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi',
      'HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 2\r\n\r\nhi',
    ]) {
      const engine = await engineOf(t)
      const up = await peer(t, saying(said))
      for (let n = 1; n <= 2; n++) {
        t.equal((await ask(t, engine, up.origin).over()).text, 'hi')
        t.equal(up.lines.length, n, said)
      }
    }
    const engine = await engineOf(t, { idleConnections: 0 })
    const up = await peer(
      t,
      answering(({ head }, line) => {
        t.match(head, /^connection: close\r$/im)
        line.say(hi)
      }),
    )
    t.equal((await ask(t, engine, up.origin).over()).text, 'hi')
    await closes(t, () => up.lines[0])
  })

  t.test('no more connections are kept than may be', async t => {
    const engine = await engineOf(t, { idleConnections: 2 })
    const waiting: Line[] = []
    const up = await peer(
      t,
      answering((_request, line) => {
        if (waiting.push(line) === 5) for (const each of waiting) each.say(hi)
      }),
    )
    await Promise.all([1, 2, 3, 4, 5].map(() => ask(t, engine, up.origin).over()))
    await until(t, 'the rest is closed', () => up.lines.filter(line => line.closed || line.ended).length === 3)
  })

  t.test('some answers have no body, whatever they say', async t => {
    const engine = await engineOf(t)
    const up = await peer(
      t,
      answering(({ head }, line) => {
        const status = /\/(\d+)/.exec(head)![1]
        line.say(`HTTP/1.1 ${status} X\r\ncontent-length: 5\r\n\r\n`)
      }),
    )
    for (const [method, status] of [
      ['HEAD', 200],
      ['POST', 204],
      ['POST', 304],
    ] as const) {
      const asked = await ask(t, engine, up.origin, { method, path: `/${status}`, body: [Buffer.alloc(0)] }).over()
      t.strictSame([asked.answer?.status, asked.bytes, asked.ended], [status, 0, true], `${method} ${status}`)
    }
    t.equal(up.lines.length, 1)
  })

  t.test('a request can be ended at any stage', async t => {
    const engine = await engineOf(t)
    const heard = (asked: Asked) => asked.answer !== undefined
    const stages: Record<string, [said: string, when: (asked: Asked, line: Line | undefined) => boolean | undefined]> =
      {
        'before there is a connection': ['', () => true],
        'waiting for its head': ['', (_asked, line) => line?.index !== undefined],
        'in its head': ['HTTP/1.1 200 OK\r\nx: ', (_asked, line) => line && line.socket.bytesWritten > 0],
        'in its body': ['HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhel', asked => asked.bytes === 3],
        'in a chunk': [`${chunked}9\r\nhel`, asked => asked.bytes === 3],
        'between chunks': [`${chunked}3\r\nhel\r\n`, asked => asked.bytes === 3],
        'in a body without a length': ['HTTP/1.1 200 OK\r\n\r\nhel', asked => asked.bytes === 3],
        'before its body': ['HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n', heard],
      }
    for (const [name, [said, when]] of Object.entries(stages)) {
      const up = await peer(t, async line => {
        await line.request()
        if (said) line.say(said)
      })
      const asked = ask(t, engine, up.origin)
      await until(t, name, () => when(asked, up.lines[0]) === true)
      asked.abort()
      asked.abort()
      if (name !== 'before there is a connection') await closes(t, () => up.lines[0])
      else for (let i = 0; i < 20; i++) await turn()
      t.ok(
        up.lines.every(line => line.closed || line.ended || line.socket.bytesRead === 0),
        name,
      )
    }
  })

  t.test('a request can be ended from within what it is told', async t => {
    const engine = await engineOf(t)
    const said = `${chunked}5\r\nhello\r\n1000\r\n${'x'.repeat(4096)}\r\n5\r\nworld\r\n0\r\n\r\n`
    for (const question of [{ onHead: (asked: Asked) => asked.abort() }, { onData: (asked: Asked) => asked.abort() }]) {
      const up = await peer(t, saying(said))
      const asked = ask(t, engine, up.origin, question)
      await closes(t, () => up.lines[0])
      t.ok(asked.aborted && !asked.ended)
    }
  })

  t.test('a request can be ended in the TLS handshake, and while its body is being written', async t => {
    const engine = await engineOf(t)
    const mute = await peer(t, () => {})
    const greeting = ask(t, engine, new URL(`https://127.0.0.1:${mute.origin.port}`))
    await until(t, 'the handshake has begun', () => (mute.lines[0]?.socket.bytesRead ?? 0) > 0)
    t.equal(greeting.controller.sent, false, 'without a session there is no connection')
    greeting.abort()
    await closes(t, () => mute.lines[0])

    const deaf = await peer(t, line => line.socket.pause())
    const writing = ask(t, engine, deaf.origin, { body: [Buffer.alloc(32 * MB)] })
    await until(t, 'there is a connection', () => writing.controller.sent)
    writing.abort()
    await until(t, 'it is gone', () => {
      deaf.lines[0]?.socket.resume()
      return deaf.lines[0] !== undefined && (deaf.lines[0].closed || deaf.lines[0].ended)
    })
    t.ok(deaf.lines[0]!.socket.bytesRead < 32 * MB, 'the rest was not written')
  })

  t.test('who is done with a request cannot touch the next on its connection', async t => {
    const engine = await engineOf(t)
    let go = () => {}
    const up = await peer(
      t,
      answering(async (_request, line, n) => {
        if (n === 1) await new Promise<void>(resolve => (go = resolve))
        line.say(hi)
      }),
    )
    const first = await ask(t, engine, up.origin).over()
    const second = ask(t, engine, up.origin)
    first.controller.pause()
    first.controller.resume()
    first.controller.abort()
    await until(t, 'the second is asked', () => second.controller.reused && up.lines[0]!.socket.bytesRead > 150)
    first.controller.abort()
    first.controller.pause()
    go()
    t.strictSame([(await second.over()).text, second.error], ['hi', undefined])
    t.equal(up.lines.length, 1)
  })

  t.test('a reader that is slow is waited for, and gets every byte', async t => {
    const engine = await engineOf(t)
    const piece = Buffer.alloc(64 * 1024, 'p')
    const total = 48 * MB
    let said = 0
    const up = await peer(t, async line => {
      await line.request()
      line.say(`HTTP/1.1 200 OK\r\ncontent-length: ${total}\r\n\r\n`)
      for (; said < total; said += piece.length) {
        if (line.socket.write(piece)) continue
        await once(line.socket, 'drain')
      }
    })
    const asked = ask(t, engine, up.origin, {
      onData: asked => {
        if (asked.bytes < MB) asked.controller.pause()
      },
    })
    await until(t, 'something has come', () => asked.bytes > 0)
    // What does not move for many turns, while there is nothing else to do, does not move at all.
    let before = -1
    await until(t, 'the upstream writes no more', async () => {
      const moved = said !== before
      before = said
      for (let i = 0; i < 100; i++) await turn()
      return !moved && said === before
    })
    t.ok(said < total, `${Math.round(said / MB)} MB are on their way, the rest waits`)
    t.ok(asked.bytes <= 256 * 1024, `${asked.bytes} bytes were heard`)
    const going = setInterval(() => asked.controller.resume(), 1)
    await asked.over()
    clearInterval(going)
    t.equal(asked.bytes, total)
  })

  t.test('an answer that comes before the request is written is heard, and ends the connection', async t => {
    const engine = await engineOf(t)
    const up = await peer(t, async line => {
      await line.head()
      line.socket.pause()
      line.say(`HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig`)
    })
    const asked = await ask(t, engine, up.origin, { body: [Buffer.alloc(32 * MB)] }).over()
    t.strictSame([asked.answer?.status, asked.text, asked.ended], [413, 'big', true])
    const next = ask(t, engine, up.origin)
    await until(t, 'another connection is made', () => up.lines.length === 2)
    t.equal((await next.over()).answer?.status, 413)
    if (!differences.writesOn)
      await until(t, 'the first is closed', () => {
        up.lines[0]!.socket.resume()
        return up.lines[0]!.closed || up.lines[0]!.ended
      })
  })

  t.test('what cannot be sent is not, and says why', async t => {
    const engine = await engineOf(t)
    const up = await peer(t, saying(hi))
    const cases: Record<string, [question: Parameters<typeof ask>[3], code: string]> = {
      'a line end in a value': [{ headers: { 'x-api-key': 'a\r\nx-evil: 1' } }, 'ERR_INVALID_CHAR'],
      'a line feed in a value': [{ headers: { 'x-api-key': 'a\nb' } }, 'ERR_INVALID_CHAR'],
      'a NUL in a value': [{ headers: { 'x-api-key': 'a\0b' } }, 'ERR_INVALID_CHAR'],
      'a character beyond latin-1': [{ headers: { 'x-api-key': 'a–b' } }, 'ERR_INVALID_CHAR'],
      'a line end in one of several': [{ headers: { 'x-two': ['a', 'b\r\n'] } }, 'ERR_INVALID_CHAR'],
      'a name with a space': [{ headers: { 'x api': 'a' } }, 'ERR_INVALID_HTTP_TOKEN'],
      'a name with a line end': [{ headers: { 'x\r\ny': 'a' } }, 'ERR_INVALID_HTTP_TOKEN'],
      'a path with a space': [{ path: '/a HTTP/1.1' }, 'ERR_UNESCAPED_CHARACTERS'],
      'a path with a line end': [{ path: '/a\r\nx:' }, 'ERR_UNESCAPED_CHARACTERS'],
      'a method with a space': [{ method: 'GET /' }, 'ERR_INVALID_HTTP_TOKEN'],
    }
    for (const [name, [question, code]] of Object.entries(cases)) {
      const asked = await ask(t, engine, up.origin, question).over()
      t.strictSame([asked.error?.code, asked.controller.sent], [code, false], name)
    }
    const aborted = ask(t, engine, up.origin, { headers: { 'x-api-key': 'a\nb' } })
    aborted.abort()
    for (let i = 0; i < 5; i++) await turn()
    t.equal(aborted.error, undefined)
    t.equal(
      up.lines.reduce((sum, line) => sum + line.socket.bytesRead, 0),
      0,
      'no upstream heard of any of it',
    )
  })

  t.test('an upstream must show a certificate that is good for its name', async t => {
    const names: (string | false)[] = []
    const secure: tls.TlsOptions = { ...localhost, ALPNProtocols: ['http/1.1'], maxVersion: 'TLSv1.3' }
    const up = await peer(
      t,
      answering((_request, line) => {
        const socket = line.socket as tls.TLSSocket & { servername: string | false }
        names.push(socket.servername, socket.alpnProtocol ?? false)
        line.say(hi)
      }),
      secure,
    )
    const strangers = await engineOf(t)
    const refused = await ask(t, strangers, up.origin).over()
    t.strictSame([refused.error?.code, refused.controller.sent], ['DEPTH_ZERO_SELF_SIGNED_CERT', false])
    const engine = await engineOf(t, { ca: localhost.cert })
    for (const reused of [false, true]) {
      const asked = await ask(t, engine, up.origin).over()
      t.strictSame([asked.text, asked.controller.sent, asked.controller.reused], ['hi', true, reused])
    }
    t.strictSame(names, ['localhost', 'http/1.1', 'localhost', 'http/1.1'])
    const misnamed = await ask(t, engine, new URL(`https://127.0.0.1:${up.origin.port}`)).over()
    t.equal(misnamed.error?.code, 'ERR_TLS_CERT_ALTNAME_INVALID')
    const plain = await peer(t, line => line.say('HTTP/1.1 400 Bad Request\r\n\r\n'))
    const noTls = await ask(t, engine, new URL(`https://localhost:${plain.origin.port}`)).over()
    t.match(noTls.error?.code, /^(ERR_SSL|EPROTO)/)
  })

  t.test('a TLS session is taken up again, and large bodies go both ways', async t => {
    const engine = await engineOf(t, { ca: localhost.cert })
    const resumed: boolean[] = []
    const up = await peer(
      t,
      answering(({ body }, line, n) => {
        if (n === 0) resumed.push((line.socket as tls.TLSSocket).isSessionReused())
        line.say(
          `HTTP/1.1 200 OK\r\nconnection: ${line.index === 0 ? 'close' : 'keep-alive'}\r\ncontent-length: ${body.length}\r\n\r\n`,
        )
        line.say(body)
      }),
      localhost,
    )
    const random = seeded(7)
    for (let n = 0; n < 3; n++) {
      const body = Buffer.from(Array.from({ length: 300_000 }, () => random() * 256))
      const asked = await ask(t, engine, up.origin, { body: [body.subarray(0, 1000), body.subarray(1000)] }).over()
      t.equal(hash('sha256', asked.whole), hash('sha256', body))
    }
    t.strictSame(resumed, [false, differences.resumes])
  })

  t.test('whatever its framing and its cuts, every answer reaches its own request', { timeout: 300_000 }, async t => {
    const engine = await engineOf(t, { idleConnections: 64 })
    const seed = 20_261_128
    const bodyOf = (id: number) => {
      const random = seeded(id * 7919 + 1)
      return Buffer.alloc(Math.floor(random() ** 3 * 60_000), `${id} ${hash('sha256', `${id}`)};`)
    }
    const up = await peer(
      t,
      answering(async ({ head, body: asked }, line) => {
        const id = Number(/^POST \/(\d+)/.exec(head)![1])
        const random = seeded(seed + id)
        const body = bodyOf(id)
        t.equal(asked.toString(), `body of ${id}`, 'the request is whole')
        let said: Buffer
        const how = random()
        if (how < 0.4)
          said = Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`), body])
        else if (how < 0.8) {
          const parts = [Buffer.from(`${random() < 0.3 ? 'HTTP/1.1 100 Continue\r\n\r\n' : ''}${chunked}`)]
          for (let at = 0; at < body.length; ) {
            const size = Math.ceil(random() ** 4 * 8000)
            const chunk = body.subarray(at, at + size)
            parts.push(
              Buffer.from(`${chunk.length.toString(16)}${random() < 0.1 ? ';x=y' : ''}\r\n`),
              chunk,
              Buffer.from('\r\n'),
            )
            at += size
          }
          parts.push(Buffer.from(random() < 0.2 ? '0\r\nx-trailer: t\r\n\r\n' : '0\r\n\r\n'))
          said = Buffer.concat(parts)
        } else said = Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\n\r\n'), body])
        // Some are followed by what must reach nobody.
        if (how < 0.8 && random() < 0.1) said = Buffer.concat([said, Buffer.from(evil)])
        for (let at = 0; at < said.length; ) {
          const size = random() < 0.3 ? Math.ceil(random() * 20) : Math.ceil(random() * 30_000)
          line.say(said.subarray(at, at + size))
          at += size
          if (random() < 0.5) await turn()
        }
        if (how >= 0.8) line.socket.end()
        else if (random() < 0.05) line.socket.end()
      }),
    )
    let wrong = 0
    let reused = 0
    let retried = 0
    const one = async (id: number): Promise<void> => {
      for (let fresh = false; ; fresh = true) {
        const asked = await ask(t, engine, up.origin, {
          path: `/${id}`,
          body: [Buffer.from(`body of ${id}`)],
          fresh,
        }).over()
        if (asked.controller.reused) reused++
        // As the caller does: a kept connection that was closed under a request.
        if (asked.error?.code === 'ECONNRESET' && asked.controller.reused && !asked.answer && !fresh) retried++
        else {
          if (!asked.ended || !asked.whole.equals(bodyOf(id))) wrong++
          return
        }
      }
    }
    for (let round = 0; round < 4; round++)
      await Promise.all(Array.from({ length: 200 }, (_, i) => one(round * 200 + i + 1)))
    t.equal(wrong, 0, `seed ${seed}`)
    t.ok(reused > 50, `${reused} were carried by a connection that had carried another, ${retried} were asked twice`)
  })

  t.test('what is closed is closed', async t => {
    const engine = await engineOf(t)
    const up = await peer(
      t,
      answering(({ head }, line) => head.includes('/hang') || line.say(hi)),
    )
    const hanging = ask(t, engine, up.origin, { path: '/hang' })
    await ask(t, engine, up.origin).over()
    await until(t, 'both have a connection', () => up.lines.length === 2)
    engine.close()
    await hanging.over()
    t.equal(hanging.error?.code, 'ECONNRESET')
    for (const line of up.lines) await closes(t, () => line)
  })
}

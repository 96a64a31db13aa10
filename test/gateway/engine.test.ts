// Both engines, one contract; and what is put around either: limits of silence and decompression.
import zlib from 'node:zlib'
import t, { type Test } from 'tap'
import { createEngine } from '../../src/gateway/ask/engine/create.ts'
import type { Engine, Head } from '../../src/gateway/ask/engine/engine.ts'
import { type Patience, Silence } from '../../src/gateway/ask/engine/silence.ts'
import { type Listener, Upstream } from '../../src/gateway/ask/upstream.ts'
import { answering, closes, type Line, type Peer, peer, turn } from '../helpers/peer.ts'
import { egressContract } from './egress-contract.ts'
import { engineContract } from './engine-contract.ts'
import { guardContract } from './guard-contract.ts'

t.test('wire', t => {
  engineContract(t, options => createEngine({ ...options, engine: 'wire' }), {
    lenient: [],
    keepsFresh: true,
    writesOn: false,
    resumes: true,
    brokenHead: ['HPE_INVALID_EOF_STATE'],
  })
  egressContract(t, options => createEngine({ ...options, engine: 'wire' }))
  guardContract(t, options => createEngine({ ...options, engine: 'wire' }))
  t.end()
})

t.test('proxy', t => {
  engineContract(t, options => createEngine({ ...options, engine: 'proxy' }), {
    lenient: [
      'a coding that is not chunked',
      'chunked twice',
      'chunks in HTTP/1.0',
      'an empty line first',
      'another version',
      'a status that begins with 0',
    ],
    keepsFresh: false,
    writesOn: true,
    resumes: true,
    brokenHead: ['ECONNRESET'],
  })
  egressContract(t, options => createEngine({ ...options, engine: 'proxy' }))
  guardContract(t, options => createEngine({ ...options, engine: 'proxy' }))
  t.end()
})

const LONG = 60_000
const patient: Patience = { connect: LONG, responseHeader: LONG, firstToken: LONG, idle: LONG }

/** A request through all that is put around an engine. */
class Heard implements Listener {
  upstream!: Upstream
  answer: Head | undefined
  error: NodeJS.ErrnoException | undefined
  readonly chunks: Buffer[] = []
  /** done at every piece of the body */
  onData = () => {}
  readonly over = Promise.withResolvers<void>()

  head(head: Head): void {
    this.answer = head
  }
  data(bytes: Buffer): void {
    this.chunks.push(bytes)
    this.onData()
  }
  end(): void {
    this.over.resolve()
  }
  fail(error: NodeJS.ErrnoException): void {
    this.error = error
    this.over.resolve()
  }
  crashed(error: unknown): void {
    this.over.reject(error)
  }
}

async function around(t: Test): Promise<(up: Peer, patience: Partial<Patience>, change?: Partial<Heard>) => Heard> {
  const engine: Engine = await createEngine({ engine: 'auto', idleConnections: 4 })
  const silence = new Silence()
  t.teardown(() => {
    engine.close()
    silence.close()
  })
  return ({ origin }, patience, change = {}) => {
    const heard = Object.assign(new Heard(), change)
    const request = { method: 'POST', origin, path: '/', headers: { host: origin.host } }
    heard.upstream = new Upstream(
      { engine, silence },
      request,
      { pieces: [], bytes: 0 },
      { ...patient, ...patience },
      heard,
    )
    return heard
  }
}

t.test('each phase has its own limit of silence, and its own word for it', async t => {
  const ask = await around(t)
  const head = 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n'
  const says = (text: string) =>
    peer(
      t,
      answering((_request, line) => line.say(text)),
    )
  const mute = await peer(t, () => {})
  const tls = { ...mute, origin: new URL(`https://127.0.0.1:${mute.origin.port}`) }
  const begun = (heard: Heard) => () => heard.upstream.begun()
  const cases: Record<string, [up: Peer, patience: Partial<Patience>, change: (heard: Heard) => void]> = {
    ETIMEDOUT: [tls, { connect: 60 }, () => {}],
    EHEADERS: [mute, { responseHeader: 60 }, () => {}],
    EFIRSTTOKEN: [await says(`${head}ping`), { firstToken: 60 }, () => {}],
    EIDLE: [
      await says(`${head}word`),
      { firstToken: 60, idle: 120 },
      heard => {
        heard.onData = begun(heard)
      },
    ],
    ECLIENTSTALLED: [
      await says(`${head}word`),
      { firstToken: 60, idle: 120 },
      heard => {
        heard.onData = () => {
          heard.upstream.begun()
          heard.upstream.pause()
        }
      },
    ],
  }
  await Promise.all(
    Object.entries(cases).map(async ([code, [up, patience, change]]) => {
      const heard = ask(up, patience)
      change(heard)
      const asked = performance.now()
      await heard.over.promise
      t.equal(heard.error?.code, code)
      t.ok(performance.now() - asked >= 60, `${code}: not before its time`)
      t.ok(heard.upstream.over)
      await closes(t, () => up.lines[0])
    }),
  )
})

t.test('who is heard again and again is not silent, and who has ended is not watched', async t => {
  const ask = await around(t)
  const up = await peer(
    t,
    answering(async (_request, line) => {
      line.say('HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n')
      for (let n = 0; n < 40; n++) {
        line.say('.')
        await new Promise(resolve => setTimeout(resolve, 10))
      }
    }),
  )
  const heard = ask(up, { firstToken: 200, idle: 200 })
  heard.onData = () => heard.chunks.length === 1 && heard.upstream.begun()
  await heard.over.promise
  t.equal(heard.error, undefined)
  t.equal(Buffer.concat(heard.chunks).length, 40)

  const left = ask(await peer(t, () => {}), { connect: 30, responseHeader: 30 })
  left.upstream.abort()
  const other = ask(await peer(t, () => {}), { responseHeader: 100 })
  await other.over.promise
  t.strictSame([left.error, other.error?.code], [undefined, 'EHEADERS'], 'who has left hears nothing')
})

t.test('a compressed answer is made plain', async t => {
  const ask = await around(t)
  const text = Buffer.from('data: {"text":"naïve 🦊"}\n\n'.repeat(20_000))
  const encoders: Record<string, (bytes: Buffer) => Buffer> = {
    gzip: zlib.gzipSync,
    'X-GZIP': zlib.gzipSync,
    deflate: zlib.deflateSync,
    br: zlib.brotliCompressSync,
    zstd: zlib.zstdCompressSync,
  }
  const says = (encoding: string, bytes: Buffer, missing = 0) =>
    peer(
      t,
      answering(async (_request, line: Line) => {
        line.say(
          `HTTP/1.1 200 OK\r\ncontent-encoding: ${encoding}\r\ncontent-length: ${bytes.length + missing}\r\nx: y\r\n\r\n`,
        )
        for (let at = 0; at < bytes.length; at += 100) {
          line.say(bytes.subarray(at, at + 100))
          await turn()
        }
      }),
    )
  for (const [encoding, encode] of Object.entries(encoders)) {
    const coded = encode(text)
    const heard = ask(await says(encoding, coded), {})
    // A reader that takes a rest at every piece still gets all of it.
    heard.onData = () => {
      heard.upstream.pause()
      setImmediate(() => heard.upstream.resume())
    }
    await heard.over.promise
    t.ok(Buffer.concat(heard.chunks).equals(text), encoding)
    t.strictSame({ ...heard.answer?.headers }, { x: 'y' })
    const half = ask(await says(encoding, coded.subarray(0, coded.length >> 1)), {})
    await half.over.promise
    t.ok(half.error?.code, `${encoding} that breaks off: ${half.error?.code}`)
    const up = await says(encoding, Buffer.from('this is plain text, whatever it says'.repeat(100)), 1)
    const none = ask(up, {})
    await none.over.promise
    t.ok(none.error?.code, `not ${encoding}: ${none.error?.code}`)
    await closes(t, () => up.lines[0])
  }
  const other = ask(await says('constructor', Buffer.from('as it is')), {})
  await other.over.promise
  t.equal(Buffer.concat(other.chunks).toString(), 'as it is', 'of what is unknown nothing is made')
})

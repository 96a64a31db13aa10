// What nobody thought of: recordings with something wrong in them, and any bytes at all, from every dialect to every other. Whatever
// comes, nothing throws but a Failure, events follow the grammar of the form, and a client is sent what its dialect can read.
// More of it: GW_TEST_SEED=$RANDOM GW_TEST_RUNS=20 node24 test/dialect/fuzz.test.ts
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import type { DialectName } from '../../src/dialect/dialect.ts'
import { Answers } from '../../src/dialect/middle/answering.ts'
import type { Asked, Codec, Target } from '../../src/dialect/middle/codec.ts'
import type { Ask, Event, Issuer } from '../../src/dialect/middle/form.ts'
import { Gathering } from '../../src/dialect/middle/gather.ts'
import { factsOf, type Vendor } from '../../src/dialect/middle/models.ts'
import type { Wires } from '../../src/dialect/middle/names.ts'
import { Notes } from '../../src/dialect/middle/notes.ts'
import { enclose } from '../../src/dialect/middle/seal.ts'
import { dialectNamed } from '../../src/dialect/table.ts'
import { Failure } from '../../src/lib/failure.ts'
// @ts-expect-error it has no types
import * as kit from '../fixtures/golden/kit.mjs'
import { eventsWrong, streamWrong } from '../helpers/grammar.ts'

// biome-ignore lint/suspicious/noExplicitAny: whatever a case holds
type Json = any

const seed = Number(process.env['GW_TEST_SEED'] ?? 20_261_128)
const times = Number(process.env['GW_TEST_RUNS'] ?? 1)

interface Row {
  dialect: DialectName
  codec: Codec
  vendor: Vendor
  models: string[]
  /** of upstreams: the frames of streams, and whole answers */
  streams: { event?: string; data: Json }[][]
  wholes: Json[]
  /** of clients */
  asks: { path: string; body: Json }[]
}

const rows: Row[] = [
  row('messages', 'anthropic', ['claude-sonnet-4-5', 'claude-opus-5-5', 'claude-sonnet-5']),
  row('chat', 'openai', ['gpt-4.1', 'gpt-5.6-terra', 'deepseek-v4-flash']),
  row('responses', 'openai', ['gpt-4.1', 'gpt-5.6-terra', 'gpt-6']),
  row('gemini', 'gemini', ['gemini-2.5-pro', 'gemini-3.8-flash']),
]

function row(dialect: DialectName, vendor: Vendor, models: string[]): Row {
  const folder = path.join(import.meta.dirname, '../fixtures/golden')
  const names: Record<string, string> = { anthropic: 'messages', v1internal: 'gemini' }
  const found: Row = { dialect, codec: dialectNamed(dialect).codec!, vendor, models, streams: [], wholes: [], asks: [] }
  const inner = (data: Json) => data?.response ?? data
  for (const name of readdirSync(folder).filter(one => one.endsWith('.json'))) {
    const one = JSON.parse(readFileSync(path.join(folder, name), 'utf8'))
    const internal = one.upstreamDialect === 'v1internal'
    for (const turn of kit.turnsOf(one)) {
      if ((names[one.client] ?? one.client) === dialect)
        found.asks.push(kit.fill({ path: turn.request.path, body: turn.request.body }))
      if ((names[one.upstreamDialect] ?? one.upstreamDialect) !== dialect) continue
      const frames = kit.fill(turn.upstreamStream ?? []) as Row['streams'][number]
      if (frames.length > 0)
        found.streams.push(internal ? frames.map(frame => ({ ...frame, data: inner(frame.data) })) : frames)
      if (turn.upstreamResponse) found.wholes.push(inner(kit.fill(turn.upstreamResponse.body)))
    }
  }
  const recorded = readFileSync(path.join(import.meta.dirname, `answers/${dialect}.txt`), 'utf8')
  found.streams.push(kit.parseSSE(recorded))
  found.wholes.push(JSON.parse(readFileSync(path.join(import.meta.dirname, `answers/${dialect}-whole.txt`), 'utf8')))
  return found
}

// ---- what goes wrong ----

const nasty: Json[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e300,
  '',
  ' ',
  'x',
  'call_1',
  'gw1.a.x',
  '\ud800',
  '\u0000"\\',
  '{"input":"a\\',
  '{}',
  [],
  {},
  [null],
  [[]],
  [{}],
  { type: 'text' },
  { type: 'thinking' },
  { __proto__: null, constructor: 1 },
  { text: 'x', type: 'new' },
  JSON.parse('{"__proto__":{"a":1},"toString":1}'),
]

/** Each edit is an operation and where it applies; small numbers are small edits, so that what fails shrinks. */
type Edit = readonly [operation: number, at: number, more: number, value: number]
const edits = fc.array(fc.tuple(fc.nat(6), fc.nat(400), fc.nat(400), fc.nat(nasty.length - 1)), { maxLength: 6 })
const cuts = fc.array(fc.nat(4000), { maxLength: 5 })

function places(value: Json, found: [holder: Json, key: string][] = []): [Json, string][] {
  for (const key of Object.keys(value)) {
    found.push([value, key])
    if (typeof value[key] === 'object' && value[key] !== null) places(value[key], found)
  }
  return found
}

/** The value with one of its own replaced or taken out. */
function changed(value: Json, [operation, , more, nth]: Edit): Json {
  if (typeof value !== 'object' || value === null) return nasty[nth]
  const copy = structuredClone(value)
  const all = places(copy)
  const [holder, key] = all[more % Math.max(1, all.length)] ?? []
  if (holder === undefined) return nasty[nth]
  if (operation % 2 === 0) holder[key!] = nasty[nth]
  else if (Array.isArray(holder)) holder.splice(Number(key), 1)
  else delete holder[key!]
  return copy
}

function wrongFrames(frames: readonly { event?: string; data: Json }[], all: readonly Edit[]): string {
  const out = [...frames]
  const bytes: Edit[] = []
  for (const edit of all) {
    const [operation, at, more] = edit
    if (out.length === 0) break
    const from = at % out.length
    if (operation === 0) out.splice(from, 1)
    else if (operation === 1) out.splice(more % out.length, 0, out[from]!)
    else if (operation === 2) out.push(...out.splice(from, 1))
    else if (operation < 5) out[from] = { ...out[from]!, data: changed(out[from]!.data, edit) }
    else bytes.push(edit)
  }
  let text: string = kit.frame(out)
  for (const [operation, at, more, value] of bytes) {
    const from = (at * 401 + more) % Math.max(1, text.length)
    if (operation === 5) text = text.slice(0, from) + String.fromCharCode(value * 9) + text.slice(from + 1)
    else text = text.slice(0, from)
  }
  return text
}

/** In pieces that are cut anywhere, also in the middle of a character. */
function pieces(bytes: Buffer, at: readonly number[]): Buffer[] {
  const ends = [...at.map(one => one % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
  return ends.map((end, n) => bytes.subarray(ends[n - 1] ?? 0, end))
}

// ---- what must hold ----

const issuerOf = ({ vendor }: Row): Issuer => ({ platform: vendor, scope: '0a1b2c3d', model: 'm' })
const wires: Wires = new Map([
  ['apply_patch', { name: 'apply_patch', freeform: true }],
  ['f', { name: 'f', namespace: 'ns' }],
])

/** For each client: with a stream, and by one that shows reasoning and counts or does not. */
function askedBy(ask: Ask, plain: boolean): Asked {
  let made = 0
  return {
    ask: { ...ask, wants: plain ? { usage: false, reasoning: false } : { usage: true, reasoning: true } },
    model: plain ? '' : 'theirs',
    id: prefix => `${prefix}${made++}`,
    created: 1,
    promptTokens: 7,
    seal: (seal, text, callId = '') =>
      enclose({
        issuer: seal?.issuer ?? { platform: 'openai', scope: '0a1b2c3d', model: 'm' },
        value: seal?.value,
        text,
        callId,
      }),
  }
}

const minimal = new Map(
  rows.map(({ dialect, codec, asks }) => [
    dialect,
    codec.decodeAsk(Buffer.from(JSON.stringify(asks[0]!.body)), asks[0]!.path),
  ]),
)

let cases = 0

function fail(what: string, input: string, events?: readonly Event[]): never {
  const shown = (text: string) => (text.length > 4000 ? `${text.slice(0, 4000)}…` : text)
  throw new Error([what, shown(input), ...(events ? [shown(JSON.stringify(events))] : [])].join('\n'))
}

/** What every client is told of the events, as a stream and as a whole. */
function heard(events: readonly Event[], input: string, plain: boolean): void {
  for (const { dialect, codec } of rows) {
    cases++
    const asked = askedBy(minimal.get(dialect)!, plain)
    const answers = new Answers({ wires, carries: codec.carries, id: asked.id, keep() {} })
    const told = events.flatMap(event => [...answers.take(event)])
    const encoder = codec.encoder(asked)
    const text = told.map(event => encoder.write(event)).join('')
    const wrong = streamWrong(dialect, text)
    if (wrong) fail(`${dialect}: ${wrong}\n${text}`, input, told)
    const gathering = new Gathering()
    for (const event of told) gathering.take(event)
    const { answer, fault } = gathering
    if (answer && !fault) JSON.parse(codec.encodeWhole(answer, asked))
  }
}

const check = (numRuns: number, property: fc.IRawProperty<never>) =>
  fc.assert(property as unknown as fc.IRawProperty<unknown>, {
    seed,
    numRuns: numRuns * times,
    endOnFailure: times > 1,
  })

for (const of of rows) {
  const { dialect, codec, streams, wholes } = of
  t.test(`streams of ${dialect}, with something wrong in them`, async t => {
    for (const frames of streams) {
      // First as they are: what is wrong then is wrong here.
      const bytes = Buffer.from(kit.frame(frames))
      const decoder = codec.decoder(issuerOf(of))
      const events = [...decoder.push(bytes), ...decoder.end()]
      t.equal(eventsWrong(events), undefined)
      heard(events, bytes.toString(), false)
    }
    const property = fc.property(fc.nat(streams.length - 1), edits, cuts, (nth, all, at) => {
      const text = wrongFrames(streams[nth]!, all)
      const decoder = codec.decoder(issuerOf(of))
      const events = pieces(Buffer.from(text), at).flatMap(piece => decoder.push(piece))
      events.push(...decoder.end())
      const wrong = eventsWrong(events)
      if (wrong) fail(wrong, text, events)
      heard(events, text, all.length % 2 === 1)
    })
    check(4500, property as never)
  })

  t.test(`a stream of ${dialect} says the same wherever it is cut`, async t => {
    const read = (parts: readonly Buffer[]) => {
      const decoder = codec.decoder(issuerOf(of))
      return JSON.stringify([...parts.flatMap(piece => decoder.push(piece)), ...decoder.end()])
    }
    for (const frames of streams) {
      const bytes = Buffer.from(kit.frame(frames).replaceAll('e', 'é').replaceAll('évént', 'event'))
      const whole = read([bytes])
      t.equal(read(Array.from(bytes, (_, n) => bytes.subarray(n, n + 1))), whole, 'byte by byte')
      const wrong: number[] = []
      for (let at = 1; at < bytes.length; at += 3)
        if (read([bytes.subarray(0, at), bytes.subarray(at)]) !== whole) wrong.push(at)
      t.strictSame(wrong, [], 'in two')
    }
  })

  t.test(`any bytes as a stream, an answer, an error or a request of ${dialect}`, async () => {
    const property = fc.property(fc.uint8Array({ maxLength: 200 }), cuts, fc.boolean(), (given, at, asJson) => {
      const bytes = Buffer.from(given)
      const text = asJson ? `data: ${JSON.stringify(nasty[at[0] ?? 0] ?? bytes.toString())}\n\n` : bytes.toString()
      const decoder = codec.decoder(issuerOf(of))
      const events = pieces(asJson ? Buffer.from(text) : bytes, at).flatMap(piece => decoder.push(piece))
      events.push(...decoder.end())
      const wrong = eventsWrong(events)
      if (wrong) fail(wrong, text, events)
      heard(events, text, false)
      answered(of, bytes)
      refused(of, bytes)
      asks(of, bytes, '/v1/x')
    })
    check(300, property as never)
  })

  t.test(`whole answers of ${dialect}, and errors, with something wrong in them`, async () => {
    const property = fc.property(fc.nat(wholes.length - 1), edits, (nth, all) => {
      const body = Buffer.from(JSON.stringify(all.reduce(changed, wholes[nth]!)) ?? '')
      answered(of, body)
      refused(of, body)
    })
    check(700, property as never)
  })

  t.test(`requests of ${dialect}, with something wrong in them`, async () => {
    const property = fc.property(fc.nat(of.asks.length - 1), edits, (nth, all) => {
      const { path, body } = of.asks[nth]!
      asks(of, Buffer.from(JSON.stringify(all.reduce(changed, body)) ?? ''), path)
    })
    check(1500, property as never)
  })
}

function answered({ codec, ...of }: Row, body: Buffer): void {
  const events = codec.decodeWhole(body, issuerOf({ codec, ...of }))
  if (events.length === 1 && events[0]!.type === 'fail') return
  const wrong = eventsWrong(events)
  if (wrong) fail(wrong, body.toString(), events)
  heard(events, body.toString(), false)
}

function refused({ codec }: Row, body: Buffer): void {
  for (const status of [400, 429, 503]) {
    const fault = codec.readFault(status, body)
    if (typeof fault.message !== 'string' || fault.message === '')
      fail(`an error that says nothing: ${JSON.stringify(fault)}`, body.toString())
    for (const { codec: client } of rows) JSON.parse(client.writeFault(fault, status, 'id'))
  }
}

function failing<T>(what: () => T): T | undefined {
  try {
    return what()
  } catch (error) {
    if (error instanceof Failure && error.code !== 'INTERNAL_ERROR') return undefined
    throw error
  }
}

function asks({ codec }: Row, body: Buffer, at: string): void {
  const ask = failing(() => codec.decodeAsk(body, at))
  if (!ask) return
  for (const { codec: upstream, vendor, models, dialect } of rows)
    for (const model of models.slice(0, 1 + (body.length % models.length))) {
      cases++
      const target: Target = {
        model,
        facts: factsOf(vendor, model),
        own: body.length % 2 === 0,
        internal: dialect === 'gemini' && body.length % 3 === 0,
        issuer: { platform: vendor, scope: '0a1b2c3d', model },
        kept: () => undefined,
        seals: true,
        settings: { autoCache: true },
      }
      const notes = new Notes()
      const asking = failing(() => upstream.encodeAsk(ask, target, notes))
      if (asking) JSON.parse(asking.body)
      const counting = upstream.counting && failing(() => upstream.counting!.encodeAsk(ask, target, new Notes()))
      if (counting) JSON.parse(counting.body)
    }
}

t.test('that was enough', async t => {
  t.ok(cases >= 100_000, `${cases} cases`)
  t.comment(`${cases} cases, seed ${seed}`)
})

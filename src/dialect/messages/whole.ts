// A whole message as the stream that it would have been, and the other way round. Text that is parsed again (the input of a
// tool) goes over as it stands: numbers beyond 2⁵³ and the order of keys survive.

import type { Gatherer, Span } from '../dialect.ts'
import { JsonError, scanObject } from '../json/scan.ts'
import { elements, members } from '../json/walk.ts'
import { words } from '../middle/read.ts'
import { SseCutter } from '../sse.ts'

// What a stream tells with its last delta only.
const inDelta = ['stop_reason', 'stop_sequence', 'stop_details', 'container']
const besideDelta = ['context_management', 'usage']
const atTheEnd = new Set([...inDelta, 'context_management'])

/** The frames of a message; undefined for what is none. */
export function asStream(body: Buffer): Buffer | undefined {
  const content = contentOf(body)
  if (!content) return undefined
  const message = fieldsOf(body, 0)
  // The official SDK reads it without looking whether it is there.
  if (!message.get('usage')?.startsWith('{')) message.set('usage', uncounted)
  const started = [...message].map(([name, raw]) =>
    pair(name, name === 'content' ? '[]' : atTheEnd.has(name) ? 'null' : raw),
  )
  const frames = [frame('message_start', [pair('message', object(started))])]
  let index = 0
  // What is no object is no block, and there is no event for it.
  for (const at of elements(body, content.start))
    if (body[at] === OPEN_BRACE) frames.push(...block(fieldsOf(body, at), index++))
  const told = (names: readonly string[]) =>
    names.filter(name => message.has(name)).map(name => pair(name, message.get(name)!))
  frames.push(frame('message_delta', [pair('delta', object(told(inDelta))), ...told(besideDelta)]))
  frames.push(frame('message_stop', []))
  return Buffer.from(frames.join(''))
}

function contentOf(body: Buffer): Span | undefined {
  try {
    const span = scanObject(body, new Set(['content'])).get('content')
    return span && body[span.start] === OPEN_BRACKET ? span : undefined
  } catch (error) {
    if (error instanceof JsonError) return undefined
    throw error
  }
}
const OPEN_BRACKET = 0x5b
const uncounted = '{"input_tokens":0,"output_tokens":0}'

/** The members of the object at `at`, as they stand. */
function fieldsOf(body: Buffer, at: number): Map<string, string> {
  let open = at
  while (body[open] !== OPEN_BRACE && open < body.length) open++
  const found = new Map<string, string>()
  for (const { key, value } of members(body, open)) found.set(key, body.toString('utf8', value.start, value.end))
  return found
}
const OPEN_BRACE = 0x7b

const pair = (name: string, raw: string) => `"${name}":${raw}`
const object = (pairs: readonly string[]) => `{${pairs.join(',')}}`
const frame = (type: string, pairs: readonly string[]) =>
  `event: ${type}\ndata: ${object([pair('type', `"${type}"`), ...pairs])}\n\n`

// Members that come in deltas of their own, and what they are before.
const filled = words<{ delta: string; empty: string }>({
  text: { delta: 'text_delta', empty: '""' },
  thinking: { delta: 'thinking_delta', empty: '""' },
  signature: { delta: 'signature_delta', empty: '""' },
})
const texts = new Set(['"text"', '"thinking"'])

function block(fields: Map<string, string>, index: number): string[] {
  const type = fields.get('type') ?? '""'
  const started: string[] = []
  const deltas: string[] = []
  const delta = (kind: string, name: string, raw: string) => deltas.push(`{"type":"${kind}",${pair(name, raw)}}`)
  for (const [name, raw] of fields) {
    const way = texts.has(type) ? filled[name] : undefined
    if (way && raw !== way.empty) {
      started.push(pair(name, way.empty))
      delta(way.delta, name, raw)
    } else if (name === 'citations' && raw.startsWith('[')) {
      started.push(pair(name, '[]'))
      const list = Buffer.from(raw)
      for (const at of elements(list, 0)) delta('citations_delta', 'citation', object(pairsOf(list, at)))
    } else if (name === 'input' && raw.startsWith('{')) {
      started.push(pair(name, '{}'))
      delta('input_json_delta', 'partial_json', JSON.stringify(raw))
    } else started.push(pair(name, raw))
  }
  const at = pair('index', String(index))
  return [
    frame('content_block_start', [at, pair('content_block', object(started))]),
    ...deltas.map(one => frame('content_block_delta', [at, pair('delta', one)])),
    frame('content_block_stop', [at]),
  ]
}

const pairsOf = (body: Buffer, at: number) => [...fieldsOf(body, at)].map(([name, raw]) => pair(name, raw))

// As large as a whole answer may be that is held back until it is known to be good.
const MOST_BYTES = 32 * 1024 * 1024

type Fields = Record<string, unknown>

/** Puts the events of a message together, as the official SDKs do. */
export class MessageGatherer implements Gatherer {
  #message: Fields | undefined
  #bytes = 0
  #broken = false
  readonly #blocks: Fields[] = []
  // The text of each block's input so far.
  readonly #inputs: string[] = []
  readonly #cutter = new SseCutter({
    wants: event => event !== 'ping',
    event: (_, data, wanted, bytes) => {
      this.#bytes += bytes
      if (!wanted) this.#broken ||= bytes > MOST_BYTES
      else if (this.#bytes <= MOST_BYTES) this.#take(parsed(data))
    },
  })

  push(chunk: Buffer): void {
    this.#cutter.push(chunk)
  }

  end(): Buffer | undefined {
    this.#cutter.end()
    if (!this.#message || this.#broken || this.#bytes > MOST_BYTES) return undefined
    const blocks = this.#blocks.map((one, index) => written(one, 'input', this.#inputs[index]))
    return Buffer.from(written(this.#message, 'content', `[${blocks.filter(Boolean).join(',')}]`))
  }

  #take(event: Fields | undefined): void {
    const at = event?.['index']
    const index = typeof at === 'number' ? at : -1
    const delta = event?.['delta'] as Fields | undefined
    switch (event?.['type']) {
      case 'message_start':
        this.#message = { ...(event['message'] as Fields) }
        this.#message['content'] ??= []
        break
      case 'content_block_start':
        if (Number.isInteger(index) && index >= 0 && index < MOST_BLOCKS)
          this.#blocks[index] = { ...(event['content_block'] as Fields) }
        break
      case 'content_block_delta':
        if (this.#blocks[index] && delta) this.#grow(index, delta)
        break
      case 'message_delta': {
        const { type, delta: changed, usage, ...beside } = event
        if (this.#message) Object.assign(this.#message, changed, beside)
        // What is null there was told before and has not changed.
        const counted = Object.entries((usage ?? {}) as Fields).filter(([, value]) => value !== null)
        const before = this.#message?.['usage'] as Fields | undefined
        if (this.#message) this.#message['usage'] = { ...before, ...Object.fromEntries(counted) }
      }
    }
  }

  // A delta of a kind that is not known yet is added as those that are: text to text, the rest to a list.
  #grow(index: number, { type, ...delta }: Fields): void {
    const block = this.#blocks[index]!
    for (const [name, value] of Object.entries(delta)) {
      if (name === 'partial_json') {
        if (typeof value === 'string') this.#inputs[index] = (this.#inputs[index] ?? '') + value
      } else if (name === 'citation') block['citations'] = [...listOf(block['citations']), value]
      else block[name] = typeof value === 'string' && typeof block[name] === 'string' ? block[name] + value : value
    }
  }
}

const MOST_BLOCKS = 100_000

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])

/** The object's JSON; the member `name` is written as `raw` says, when it says something that is JSON. */
function written(fields: Fields, name: string, raw: string | undefined): string {
  const entries = Object.entries(fields).map(([key, value]) => [JSON.stringify(key), value, key] as const)
  const instead = raw && parsed(raw) !== undefined ? raw : undefined
  return object(
    entries.map(([quoted, value, key]) => `${quoted}:${(key === name && instead) || JSON.stringify(value)}`),
  )
}

/** JSON that is an object or a list; a number that would lose digits stays as it is written. */
function parsed(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text, exactly as (key: string, value: unknown) => unknown)
    return typeof value === 'object' && value !== null ? (value as Fields) : undefined
  } catch {
    return undefined
  }
}

function exactly(_: string, value: unknown, { source }: { source?: string }): unknown {
  if (typeof value !== 'number' || source === undefined || String(value) === source) return value
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(source)
}

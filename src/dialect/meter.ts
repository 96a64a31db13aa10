// What the meters of all dialects share: the way through a stream or a body, and which of its values may become money.
import type { Meter } from './dialect.ts'
import { LARGE, Squeezer } from './json/squeeze.ts'
import { stringEnd } from './json/walk.ts'
import { SseCutter } from './sse.ts'
import { noUsage, promptTokens } from './usage.ts'

const COLON = 0x3a
const QUOTE = 0x22
const SPACE = 0x20

/** What every meter finds out, and which of it can be believed. */
abstract class Reading {
  readonly usage = noUsage()
  complete = false
  begun = false
  ended = false
  error: Meter['error']
  emitted = 0
  modeTold = false
  geoTold = false
  lifetimesTold = false
  readonly #said = { prompt: false, output: false }
  readonly #wrong = { prompt: false, output: false, rest: false }

  /** Of this part a count was said, and the last one of it is final. */
  says(part: 'prompt' | 'output'): void {
    this.#said[part] = true
  }

  /** A count of this part is there and cannot be one, or is there again and can. */
  doubts(part: 'prompt' | 'output' | 'rest', wrong: boolean): void {
    this.#wrong[part] = wrong
  }

  // A count of 0 beside a text is one that nobody made. Without a text it may be true: a refusal that is free, a prompt that
  // only fills the cache.
  get promptTold(): boolean {
    return this.#said.prompt && !this.#wrong.prompt && (promptTokens(this.usage) > 0 || this.emitted === 0)
  }

  get outputTold(): boolean {
    return this.#said.output && !this.#wrong.output && (this.usage.output > 0 || this.emitted === 0)
  }

  get told(): boolean {
    return this.promptTold && this.outputTold && !this.#wrong.rest
  }
}

/** A meter of a stream of server-sent events; a dialect says which of them it wants to read, and reads them. */
export abstract class StreamMeter extends Reading implements Meter {
  // Of the event that passes: where its text begins, and how long it is if its end was seen.
  #from = -1
  #length = -1
  // Where the text of the last event began, and the bytes before it: its key.
  #lastFrom = -1
  #before = ''
  readonly #cutter = new SseCutter({
    squeeze: true,
    wants: (event, head, whole) => {
      this.#from = -1
      return this.wants(event, head, whole)
    },
    event: (event, data, wanted, bytes) => {
      if (this.#from !== -1) this.emitted += this.#length === -1 ? Math.max(0, bytes - this.#from) : this.#length
      if (wanted) this.read(event, data)
    },
  })

  push(chunk: Buffer): void {
    this.#cutter.push(chunk)
  }
  end(): void {
    this.#cutter.end()
  }

  /** As SseReader: false for what carries neither usage nor the end of the answer, which is nearly all of a stream. */
  protected abstract wants(event: string, head: Buffer, whole: boolean): boolean
  protected abstract read(event: string, data: string): void

  /** Called by `wants` for an event that may carry text of the answer, as the string at the first of these keys. */
  protected hears(head: Buffer, keys: readonly Buffer[]): void {
    // Deltas of one block begin alike to the byte, and a native search costs more than all the rest of an event.
    let from = this.#lastFrom
    if (!this.#beginsLikeLast(head)) {
      from = textAt(head, keys)
      if (from === -1) return
      this.#lastFrom = from
      this.#before = head.toString('latin1', Math.max(0, from - BEFORE), from)
    }
    this.#from = from
    const end = stringEnd(head, from - 1)
    this.#length = head[end - 1] === QUOTE ? end - 1 - from : -1
  }

  #beginsLikeLast(head: Buffer): boolean {
    const start = this.#lastFrom - this.#before.length
    for (let i = 0; i < this.#before.length; i++) if (head[start + i] !== this.#before.charCodeAt(i)) return false
    return this.#before !== ''
  }

  protected fail(error: unknown, kinds: readonly string[], otherwise: string): void {
    // The first one says most: what follows repeats it in fewer words.
    this.error ??= errorOf(error, kinds, otherwise)
  }
}

// `"text":"` and what stands before it.
const BEFORE = 12

/** Where the text of the string begins that is the value of the first of these keys; -1 when there is none. */
function textAt(head: Buffer, keys: readonly Buffer[]): number {
  for (const key of keys) {
    const found = head.indexOf(key)
    if (found === -1) continue
    let at = found + key.length
    while (head[at] === SPACE || head[at] === COLON) at++
    if (head[at] === QUOTE) return at + 1
  }
  return -1
}

// What is left of a squeezed answer is small next to what it cost; beyond this it is relayed all the same, and its usage
// is partial.
const MAX_BODY = 64 * 1024 * 1024

/** A meter of an answer that can only be read when it is whole. */
export class BodyMeter extends Reading implements Meter {
  #squeezer: Squeezer | undefined = new Squeezer()
  readonly #read: (body: object, meter: BodyMeter) => void

  /** @param read told of the body when it has ended and is JSON, an object or an array */
  constructor(read: (body: object, meter: BodyMeter) => void) {
    super()
    this.#read = read
  }

  push(chunk: Buffer): void {
    this.begun = true
    this.emitted += chunk.length
    this.#squeezer?.push(chunk)
    if (this.#squeezer && this.#squeezer.bytes > MAX_BODY) this.#squeezer = undefined
  }

  end(): void {
    const body = this.#squeezer && parse(this.#squeezer.take().toString('utf8'))
    this.#squeezer = undefined
    if (body) this.#read(body, this)
  }

  /** The body is an answer, of which so many bytes were written by the model. */
  answers(bytes: number): void {
    this.complete = true
    // Of a large one the texts are shortened: the whole of it is the nearest that is known.
    if (this.emitted <= LARGE) this.emitted = bytes
  }
}

const typed = /^\s*\{\s*"type"\s*:\s*"([a-z_.]+)"/

/** The type of an event whose line says it, or else its data: resellers exist that send no event lines. */
export function typeOf(event: string, head: Buffer): string {
  return event && event !== 'message' ? event : (typed.exec(head.toString('latin1', 0, 64))?.[1] ?? '')
}

/** JSON that is an object or an array. */
export function parse(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

// The largest count that a database column holds.
const MOST = 2 ** 31 - 1

const decimal = /^\s*\d{1,20}(\.\d{1,20})?\s*$/

/**
 * A count as it may be added and taken from. Upstreams have sent null, negative and fractional ones; none may become money. A
 * number as text is read.
 */
export function count(value: unknown): number | undefined {
  const number = typeof value === 'string' && decimal.test(value) ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) && number >= 0
    ? Math.min(Math.floor(number), Number.MAX_SAFE_INTEGER)
    : undefined
}

/** Whether something is there in place of a count that is none, or not all of one. */
export function isWrong(value: unknown): boolean {
  if (value === undefined || value === null) return false
  const read = count(value)
  return read === undefined || (read < Number.MAX_SAFE_INTEGER && read !== Number(value))
}

/** What a bucket holds of a sum of counts. */
export function bucket(sum: number): number {
  return Math.min(Math.max(0, sum), MOST)
}

const standard = new Set(['standard', 'auto', 'default'])

/** A service mode by the vendor's word; '' for the standard one and for what is no word. */
export function modeOf(value: unknown): string {
  return typeof value === 'string' && /^[a-z][a-z0-9_-]{0,31}$/.test(value) && !standard.has(value) ? value : ''
}

/** An upstream's error in words; its type is the first of the fields `kinds` that says something. */
export function errorOf(error: unknown, kinds: readonly string[], otherwise: string): NonNullable<Meter['error']> {
  const said = (typeof error === 'object' && error !== null ? error : { message: error }) as Record<string, unknown>
  const text = (value: unknown) => (typeof value === 'string' ? value : '')
  const type = kinds.map(kind => text(said[kind])).find(kind => kind !== '')
  return { type: type ?? otherwise, message: text(said['message']) }
}

const MAX_DEPTH = 64

/** About the bytes of a value as JSON. Not by JSON.stringify: it throws where JSON.parse does not, some thousand levels down. */
export function sizeOf(value: unknown, depth = 0): number {
  if (typeof value === 'string') return Buffer.byteLength(value)
  if (!isObject(value) || depth === MAX_DEPTH) return 4
  return Object.entries(value).reduce((bytes, [name, one]) => bytes + name.length + sizeOf(one, depth + 1), 2)
}

/** The bytes of a text; of anything else none. */
export function textOf(value: unknown): number {
  return typeof value === 'string' ? Buffer.byteLength(value) : 0
}

export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/** An object whose fields have names: an array is none. */
export function isNamed(value: unknown): value is object {
  return isObject(value) && !Array.isArray(value)
}

// What the corridor must know of a Messages request, found by one scan of its top level.
import { Failure } from '../../lib/failure.ts'
import type { Body, Peek, Span, WarmupPhrases } from '../dialect.ts'
import { JsonError, scanObject, Word, Words } from '../json/scan.ts'
import { geoOf } from './geo.ts'
import { promptBytes } from './prompt.ts'
import { sessionFields, sessionKey } from './session.ts'
import { isWarmup } from './warmup.ts'

const wanted = new Set(['model', 'stream', 'max_tokens', 'speed', 'inference_geo', ...sessionFields])

const spelled = ['image', 'document', 'cache_control', '1h', 'web_search*'].map(text => new Word(text))
const [IMAGE, DOCUMENT, CACHE_CONTROL, ONE_HOUR, WEB_SEARCH] = [0, 1, 2, 3, 4]

// Beyond this a copy costs more than two more writes.
const COPY_BYTES = 64 * 1024

/** @throws Failure BODY_INVALID, MODEL_REQUIRED */
export function peekMessages(body: Buffer): Peek {
  let found: Map<string, Span>
  const words = new Words(spelled)
  try {
    found = scanObject(body, wanted, words)
  } catch (error) {
    if (error instanceof JsonError) throw new Failure('BODY_INVALID', [error.message], { cause: error })
    throw error
  }
  return new MessagesPeek(body, found, words)
}

class MessagesPeek implements Peek {
  readonly model: string
  readonly stream: boolean
  readonly maxTokens: number | undefined
  readonly mode: string
  readonly geo: string
  readonly #body: Buffer
  readonly #fields: ReadonlyMap<string, Span>
  readonly #words: Words

  constructor(body: Buffer, fields: ReadonlyMap<string, Span>, words: Words) {
    this.#body = body
    this.#words = words
    this.#fields = fields
    this.model = modelOf(body, fields.get('model'))
    const stream = fields.has('stream') ? this.#value('stream') : false
    if (typeof stream !== 'boolean') throw new Failure('BODY_INVALID', ['stream must be true or false'])
    this.stream = stream
    const maxTokens = this.#value('max_tokens')
    this.maxTokens = Number.isSafeInteger(maxTokens) && Number(maxTokens) >= 0 ? Number(maxTokens) : undefined
    const speed = this.#value('speed')
    this.mode = typeof speed === 'string' && speed !== 'standard' ? speed.replace(/[^\w.-]/g, '_').slice(0, 32) : ''
    this.geo = geoOf(this.#value('inference_geo'))
  }

  get promptBytes(): number {
    const messages = this.#fields.get('messages')
    const hasMedia = this.#words.has(IMAGE) || this.#words.has(DOCUMENT)
    return messages && hasMedia ? promptBytes(this.#body, messages) : this.#body.length
  }

  get cacheWrites(): '5m' | '1h' {
    return this.#words.has(CACHE_CONTROL) && this.#words.has(ONE_HOUR) ? '1h' : '5m'
  }

  get searchesWeb(): boolean {
    return this.#words.has(WEB_SEARCH)
  }

  session(headers: NodeJS.Dict<string | string[]>): string {
    return sessionKey(headers, this.#body, this.#fields)
  }

  mapped(model: string): Body {
    const body = this.#body
    if (model === this.model) return { pieces: [body], bytes: body.length }
    const { start, end } = this.#fields.get('model')!
    const pieces = [body.subarray(0, start), Buffer.from(JSON.stringify(model)), body.subarray(end)]
    const bytes = body.length - (end - start) + pieces[1]!.length
    return bytes <= COPY_BYTES ? { pieces: [Buffer.concat(pieces, bytes)], bytes } : { pieces, bytes }
  }

  isWarmup(phrases: WarmupPhrases): boolean {
    return isWarmup(this.#body, phrases)
  }

  #value(name: string): unknown {
    const span = this.#fields.get(name)
    return span && parse(this.#body, span)
  }
}

function modelOf(body: Buffer, span: Span | undefined): string {
  if (!span) throw new Failure('MODEL_REQUIRED')
  const model = parse(body, span)
  if (typeof model !== 'string') throw new Failure('BODY_INVALID', ['model must be a string'])
  if (model === '') throw new Failure('MODEL_REQUIRED')
  // No name has these, and Postgres has no place for some of them: usage under such a name could not be written.
  if (/\p{Cc}/u.test(model) || !model.isWellFormed())
    throw new Failure('BODY_INVALID', ['model has a character that no name has'])
  return model
}

function parse(body: Buffer, span: Span): unknown {
  // A wanted value is a string or a boolean; anything long is neither and need not be built.
  if (span.end - span.start > 4096) return null
  try {
    return JSON.parse(body.toString('utf8', span.start, span.end))
  } catch {
    return null // the scan does not judge what stands in a string
  }
}

// What the corridor must know of a Messages request, found by one scan of its top level.
import type { Body, Peek, Span, WarmupPhrases } from '../dialect.ts'
import { Word, Words } from '../json/scan.ts'
import { type Edit, edited, inOrder, limitOf, modeAsked, modelIn, scanned, shortValue, streamIn } from '../peeking.ts'
import { geoOf } from './geo.ts'
import { promptBytes } from './prompt.ts'
import { proofEdits, proofsOf } from './proofs.ts'
import { sessionFields, sessionKey } from './session.ts'
import { isWarmup } from './warmup.ts'

const wanted = new Set(['model', 'stream', 'max_tokens', 'speed', 'inference_geo', 'thinking', ...sessionFields])

const spelled = ['image', 'document', 'cache_control', '1h', 'web_search*'].map(text => new Word(text))
const [IMAGE, DOCUMENT, CACHE_CONTROL, ONE_HOUR, WEB_SEARCH] = [0, 1, 2, 3, 4]

const standard = new Set(['standard'])

/** @throws Failure BODY_INVALID, MODEL_REQUIRED */
export function peekMessages(body: Buffer): Peek {
  const words = new Words(spelled)
  return new MessagesPeek(body, scanned(body, wanted, words), words)
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
    this.model = modelIn(body, fields.get('model'))
    this.stream = streamIn(body, fields.get('stream'))
    this.maxTokens = limitOf(this.#value('max_tokens'))
    this.mode = modeAsked(this.#value('speed'), standard)
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

  proofs(): readonly string[] {
    return proofsOf(this.#body)
  }

  mapped(model: string, proofs?: ReadonlyMap<string, string | undefined>): Body {
    const edits: Edit[] = []
    const messages = this.#fields.get('messages')
    if (proofs && proofs.size > 0 && messages)
      edits.push(...proofEdits(this.#body, messages, this.#fields.get('thinking'), proofs))
    if (model !== this.model) edits.push({ ...this.#fields.get('model')!, text: JSON.stringify(model) })
    return edited(this.#body, inOrder(edits))
  }

  isWarmup(phrases: WarmupPhrases): boolean {
    return isWarmup(this.#body, phrases)
  }

  #value(name: string): unknown {
    return shortValue(this.#body, this.#fields.get(name))
  }
}

// What the corridor must know of a Responses request, found by one scan of its top level.
import type { Body, Peek, Span, WarmupPhrases } from '../dialect.ts'
import { Word, Words } from '../json/scan.ts'
import { type Edit, edited, inOrder, limitOf, modeAsked, modelIn, scanned, shortValue, streamIn } from '../peeking.ts'
import { promptBytes } from './prompt.ts'
import { proofEdits, proofsOf } from './proofs.ts'
import { sessionFields, sessionKey } from './session.ts'

const wanted = new Set(['model', 'stream', 'max_output_tokens', 'service_tier', ...sessionFields])

const spelled = ['input_image', 'input_file', 'input_audio', 'computer_screenshot', 'image_generation_call'].map(
  text => new Word(text),
)
const MEDIA = spelled.map((_, at) => at)
const WEB_SEARCH = spelled.push(new Word('web_search*')) - 1
const TWELVE_HOURS = spelled.push(new Word('12h')) - 1

const standard = new Set(['auto', 'default', 'standard'])

/** @throws Failure BODY_INVALID, MODEL_REQUIRED */
export function peekResponses(body: Buffer): Peek {
  const words = new Words(spelled)
  return new ResponsesPeek(body, scanned(body, wanted, words), words)
}

class ResponsesPeek implements Peek {
  readonly model: string
  readonly stream: boolean
  readonly maxTokens: number | undefined
  readonly mode: string
  readonly geo = ''
  readonly #body: Buffer
  readonly #fields: ReadonlyMap<string, Span>
  readonly #words: Words

  constructor(body: Buffer, fields: ReadonlyMap<string, Span>, words: Words) {
    this.#body = body
    this.#words = words
    this.#fields = fields
    this.model = modelIn(body, fields.get('model'))
    this.stream = streamIn(body, fields.get('stream'))
    this.maxTokens = limitOf(shortValue(body, fields.get('max_output_tokens')))
    this.mode = modeAsked(shortValue(body, fields.get('service_tier')), standard)
  }

  get promptBytes(): number {
    const input = this.#fields.get('input')
    return input && MEDIA.some(word => this.#words.has(word)) ? promptBytes(this.#body, input) : this.#body.length
  }

  get cacheWrites(): '30m' | '12h' {
    return this.#words.has(TWELVE_HOURS) ? '12h' : '30m'
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
    const input = this.#fields.get('input')
    if (proofs && proofs.size > 0 && input) edits.push(...proofEdits(this.#body, input, proofs))
    if (model !== this.model) edits.push({ ...this.#fields.get('model')!, text: JSON.stringify(model) })
    return edited(this.#body, inOrder(edits))
  }

  // No client of this dialect is known that sends any.
  isWarmup(_: WarmupPhrases): boolean {
    return false
  }
}

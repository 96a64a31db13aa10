// What the corridor must know of a Chat Completions request, found by one scan of its top level.
import type { Body, Peek, Span, WarmupPhrases } from '../dialect.ts'
import { Word, Words } from '../json/scan.ts'
import { members } from '../json/walk.ts'
import { type Edit, edited, limitOf, modeAsked, modelIn, scanned, shortValue, streamIn } from '../peeking.ts'
import { promptBytes } from './prompt.ts'
import { sessionFields, sessionKey } from './session.ts'
import { usageChunkStripper } from './usage-chunk.ts'

const wanted = new Set([
  'model',
  'stream',
  'stream_options',
  'max_completion_tokens',
  'max_tokens',
  'n',
  'service_tier',
  'web_search_options',
  'input',
  ...sessionFields,
])

const spelled = ['image_url', 'file', 'input_audio', 'video_url'].map(text => new Word(text))
const MEDIA = spelled.map((_, at) => at)
const WEB_SEARCH = spelled.push(new Word('web_search*')) - 1
const TWELVE_HOURS = spelled.push(new Word('12h')) - 1

const standard = new Set(['auto', 'default', 'standard'])

/** @throws Failure BODY_INVALID, MODEL_REQUIRED */
export function peekChat(body: Buffer): Peek {
  const words = new Words(spelled)
  return new ChatPeek(body, scanned(body, wanted, words), words)
}

class ChatPeek implements Peek {
  readonly model: string
  readonly stream: boolean
  readonly maxTokens: number | undefined
  readonly mode: string
  readonly geo = ''
  readonly stripped: (() => (events: Buffer) => Buffer) | undefined
  readonly #body: Buffer
  readonly #fields: ReadonlyMap<string, Span>
  readonly #words: Words
  readonly #askUsage: readonly Edit[]

  constructor(body: Buffer, fields: ReadonlyMap<string, Span>, words: Words) {
    this.#body = body
    this.#words = words
    this.#fields = fields
    this.model = modelIn(body, fields.get('model'))
    this.stream = streamIn(body, fields.get('stream'))
    const most = this.#value('max_completion_tokens') ?? this.#value('max_tokens')
    const choices = limitOf(this.#value('n')) || 1
    const maxTokens = limitOf(most)
    // Embeddings have a prompt and no answer.
    const embeds = fields.has('input') && !fields.has('messages')
    this.maxTokens = embeds ? 0 : maxTokens === undefined ? undefined : limitOf(maxTokens * choices)
    this.mode = modeAsked(this.#value('service_tier'), standard)
    this.#askUsage = this.stream ? askingUsage(body, fields.get('stream')!, fields.get('stream_options')) : []
    this.stripped = this.#askUsage.length > 0 ? usageChunkStripper : undefined
  }

  get promptBytes(): number {
    const messages = this.#fields.get('messages')
    return messages && MEDIA.some(word => this.#words.has(word)) ? promptBytes(this.#body, messages) : this.#body.length
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

  mapped(model: string): Body {
    const edits = [...this.#askUsage]
    if (model !== this.model) edits.push({ ...this.#fields.get('model')!, text: JSON.stringify(model) })
    return edited(
      this.#body,
      edits.sort((a, b) => a.start - b.start),
    )
  }

  // No client of this dialect is known that sends any.
  isWarmup(_: WarmupPhrases): boolean {
    return false
  }

  #value(name: string): unknown {
    return shortValue(this.#body, this.#fields.get(name))
  }
}

const ASKED = '"include_usage":true'

/** What has to be written into a body so that its stream ends with its usage; nothing where the client asks for it itself. */
function askingUsage(body: Buffer, stream: Span, options: Span | undefined): Edit[] {
  if (!options) return [{ start: stream.end, end: stream.end, text: `,"stream_options":{${ASKED}}` }]
  if (body.toString('latin1', options.start, options.end) === 'null') return [{ ...options, text: `{${ASKED}}` }]
  // What is neither is for the upstream to refuse.
  if (body[options.start] !== OPEN_BRACE) return []
  const inside = [...members(body, options.start)]
  const told = inside.filter(({ key }) => key === 'include_usage')
  if (told.length === 0) {
    const at = options.start + 1
    return [{ start: at, end: at, text: inside.length === 0 ? ASKED : `${ASKED},` }]
  }
  return told
    .filter(({ value }) => body.toString('latin1', value.start, value.end) !== 'true')
    .map(({ value }) => ({ ...value, text: 'true' }))
}
const OPEN_BRACE = 0x7b

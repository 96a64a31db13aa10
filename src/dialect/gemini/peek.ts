// What the corridor must know of a Gemini request: model and action stand in the path, the rest is found by one scan.
import { Failure } from '../../lib/failure.ts'
import type { Body, Dialect, Peek, Span } from '../dialect.ts'
import { Word, Words } from '../json/scan.ts'
import { elements, members } from '../json/walk.ts'
import { type Edit, edited, inOrder, limitOf, modeAsked, modelNamed, scanned, shortValue } from '../peeking.ts'
import { proofsIn } from '../proofs.ts'
import { identifier, sessionOfBeginning, sessionOfHeaders, shortText, textsOf } from '../session.ts'
import { proofEdits, proofKeys } from './passing.ts'
import { type Place, placeOf } from './place.ts'
import { mediaBytes } from './prompt.ts'

// Google takes every field in both spellings.
const spelledSo = new Map([
  ['generation_config', 'generationConfig'],
  ['service_tier', 'serviceTier'],
  ['system_instruction', 'systemInstruction'],
  ['session_id', 'sessionId'],
  ['generate_content_request', 'generateContentRequest'],
])
const wanted = new Set([
  ...spelledSo.keys(),
  ...spelledSo.values(),
  'model',
  'contents',
  'content',
  'requests',
  'tools',
])

const words = [
  'inlineData',
  'inline_data',
  'fileData',
  'file_data',
  'googleSearch*',
  'google_search*',
  'googleMaps',
  'google_maps',
  'enterpriseWebSearch',
  'exaAiSearch',
  'parallelAiSearch',
].map(text => new Word(text))
const media = [0, 1, 2, 3]
const searches = [4, 5, 6, 7, 8, 9, 10]

const standard = new Set(['standard', 'STANDARD', 'unspecified', 'SERVICE_TIER_UNSPECIFIED'])

/** @param asArray in which a client is answered who wants a stream in one array @throws Failure BODY_INVALID, MODEL_REQUIRED */
export function peekGemini(body: Buffer, path: string, asArray: Dialect): Peek {
  const noted = new Words(words)
  const found = new Map<string, Span>()
  for (const [name, span] of scanned(body, wanted, noted)) {
    const said = spelledSo.get(name) ?? name
    if (found.has(said)) throw new Failure('BODY_INVALID', [`property "${said}" appears twice`])
    found.set(said, span)
  }
  return new GeminiPeek(body, found, noted, placeOf(path), asArray)
}

class GeminiPeek implements Peek {
  readonly model: string
  readonly stream: boolean
  readonly maxTokens: number | undefined
  readonly mode: string
  readonly geo = ''
  readonly cacheWrites = 'none'
  readonly answersIn?: Dialect
  readonly #body: Buffer
  readonly #fields: ReadonlyMap<string, Span>
  readonly #words: Words

  constructor(body: Buffer, fields: ReadonlyMap<string, Span>, noted: Words, place: Place, asArray: Dialect) {
    this.#body = body
    this.#fields = fields
    this.#words = noted
    this.model = modelNamed(place.model.replace(/^models\//, ''))
    this.stream = place.action === 'streamGenerateContent'
    if (this.stream && !place.sse) this.answersIn = asArray
    this.maxTokens = mostTokens(body, fields.get('generationConfig'))
    this.mode = modeAsked(shortValue(body, fields.get('serviceTier')), standard)
  }

  get promptBytes(): number {
    const contents = this.#fields.get('contents')
    const hasMedia = media.some(word => this.#words.has(word))
    return this.#body.length + (contents && hasMedia ? mediaBytes(this.#body, contents) : 0)
  }

  get searchesWeb(): boolean {
    return searches.some(word => this.#words.has(word))
  }

  // Official clients name no session: it is told by what it began with (spec/wire.md §5).
  session(headers: NodeJS.Dict<string | string[]>): string {
    const header = sessionOfHeaders(headers)
    if (header !== undefined) return header
    const named = identifier(shortText(this.#body, this.#fields.get('sessionId')))
    if (named !== undefined) return `c:${named}`
    return sessionOfBeginning(this.#body, this.#system(), this.#fields.get('tools'), this.#firstUser())
  }

  proofs(): readonly string[] {
    return proofsIn(this.#body, proofKeys)
  }

  // The model is in the path; where a body repeats it, both must say the same.
  mapped(model: string, proofs?: ReadonlyMap<string, string | undefined>): Body {
    const edits: Edit[] = []
    const contents = this.#fields.get('contents')
    if (proofs && proofs.size > 0 && contents) edits.push(...proofEdits(this.#body, contents, model, proofs))
    if (model !== this.model)
      for (const span of this.#models()) edits.push({ ...span, text: JSON.stringify(`models/${model}`) })
    return edited(this.#body, inOrder(edits))
  }

  isWarmup(): boolean {
    return false
  }

  *#models(): Generator<Span> {
    const own = this.#fields.get('model')
    if (own) yield own
    const inner = this.#fields.get('generateContentRequest')
    const requests = this.#fields.get('requests')
    const objects = [...(inner ? [inner.start] : []), ...(requests ? elements(this.#body, requests.start) : [])]
    for (const at of objects) for (const { key, value } of members(this.#body, at)) if (key === 'model') yield value
  }

  #system(): Buffer[] {
    const span = this.#fields.get('systemInstruction')
    return span ? this.#texts(span.start) : []
  }

  #firstUser(): Buffer[] {
    const contents = this.#fields.get('contents')
    if (!contents) return []
    // A single content needs no list.
    const starts = this.#body[contents.start] === 0x5b ? elements(this.#body, contents.start) : [contents.start]
    for (const at of starts) {
      let user = true
      for (const { key, value } of members(this.#body, at))
        if (key === 'role') user = this.#body.toString('latin1', value.start, value.end) !== '"model"'
      if (user) return this.#texts(at)
    }
    return []
  }

  /** Of the content that begins at `at`. */
  #texts(at: number): Buffer[] {
    for (const { key, value } of members(this.#body, at)) if (key === 'parts') return textsOf(this.#body, value)
    return []
  }
}

/** Each candidate may have as many. A field said twice, or spelled otherwise, counts as the largest that it can be taken for. */
function mostTokens(body: Buffer, config: Span | undefined): number | undefined {
  if (!config) return undefined
  let most: number | undefined
  let candidates = 1
  for (const { key, value } of members(body, config.start)) {
    const name = key.includes('\\') ? shortText(Buffer.from(`"${key}"`), { start: 0, end: key.length + 2 }) : key
    const number = Number(shortValue(body, value))
    if (name === 'maxOutputTokens' || name === 'max_output_tokens') most = Math.max(most ?? 0, limitOf(number) ?? 0)
    if (name === 'candidateCount' || name === 'candidate_count') candidates = Math.max(candidates, limitOf(number) ?? 1)
  }
  return most === undefined || most === 0 ? undefined : limitOf(most * candidates)
}

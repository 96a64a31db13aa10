// Reads the answer of a Gemini upstream, a stream of chunks or a whole one (spec/wire.md §3.3, 4.2).
import { parseExact } from '../json/exact.ts'
import type { Decoder } from '../middle/codec.ts'
import type { Citation, Event, Head, Issuer, Seal, Tokens } from '../middle/form.ts'
import { SseCutter } from '../sse.ts'
import { tokensOf } from './counts.ts'
import { kindOf } from './decode-parts.ts'
import { whyOf } from './ends.ts'
import { faultIn } from './faults.ts'

type Fields = Record<string, unknown>

/** What each candidate is at. */
interface Candidate {
  /** index of the part that is open; -1: none */
  open: number
  kind: 'text' | 'thought'
  text: string
  finished: Event | undefined
}

/** Never throws: what cannot be read is passed over. */
export class GeminiDecoder implements Decoder {
  readonly #from: Issuer
  readonly #candidates = new Map<number, Candidate>()
  #events: Event[] = []
  #next = 0
  #started = false
  /** something of the answer was said */
  #said = false
  #over = false
  #usage: Tokens | undefined
  readonly #cutter = new SseCutter({
    wants: () => true,
    event: (_, data) => {
      for (const chunk of chunksIn(data)) this.take(chunk)
    },
  })

  constructor(from: Issuer) {
    this.#from = from
  }

  push(chunk: Buffer): Event[] {
    this.#cutter.push(chunk)
    return this.#taken()
  }

  end(): Event[] {
    this.#cutter.end()
    return this.ended()
  }

  /** No more chunks will come. */
  ended(): Event[] {
    if (!this.#over) {
      const open = [...this.#candidates.values()].some(({ finished }) => !finished)
      if (!this.#started || open || this.#candidates.size === 0)
        this.#fail({ kind: 'truncated', message: 'The answer broke off before its end.' })
      else this.#finish()
    }
    return this.#taken()
  }

  #taken(): Event[] {
    const events = this.#events
    this.#events = []
    return events
  }

  take(chunk: Fields): void {
    if (this.#over) return
    const inner = isFields(chunk['response']) ? chunk['response'] : chunk
    const { error, candidates, usageMetadata, promptFeedback, responseId, modelVersion } = inner
    if (error) {
      this.#fail(faultIn(error, 500))
      return
    }
    this.#usage = tokensOf(usageMetadata, this.#usage)
    const blocked = isFields(promptFeedback) ? promptFeedback['blockReason'] : undefined
    const list = Array.isArray(candidates) ? candidates.filter(isFields) : []
    if (list.length === 0 && typeof blocked !== 'string') {
      if (isFields(usageMetadata) && this.#allFinished()) this.#finish()
      else if (this.#started) this.#events.push({ type: 'idle' })
      return
    }
    if (list.length === 1 && !this.#said && this.#unanswered(list[0]!)) return
    if (!this.#started) {
      this.#started = true
      const usage = this.#usage ? { usage: this.#usage } : {}
      this.#events.push({ type: 'start', id: text(responseId), model: text(modelVersion), ...usage })
    }
    for (const candidate of list) this.#candidate(candidate)
    if (typeof blocked === 'string' && this.#candidates.size === 0) {
      const finished: Event = { type: 'finish', why: 'safety', detail: blocked }
      this.#candidates.set(0, { open: -1, kind: 'text', text: '', finished })
    }
    // What is counted comes with the end; where it does not, it may come after it.
    if (isFields(usageMetadata) && this.#allFinished()) this.#finish()
  }

  /** An end that is no answer, before anything was said: it can be asked once more. */
  #unanswered({ finishReason, finishMessage, content }: Fields): boolean {
    const parts = isFields(content) && Array.isArray(content['parts']) ? content['parts'] : []
    if (parts.some(part => isFields(part) && Object.entries(part).some(([, value]) => value !== ''))) return false
    const message = text(finishMessage) || text(finishReason)
    if (finishReason === 'MISSING_THOUGHT_SIGNATURE') this.#fail({ kind: 'sealRefused', message })
    else if (finishReason === 'PUP_LIMITED_DISABLED') this.#fail({ kind: 'forbidden', message })
    return this.#over
  }

  #allFinished(): boolean {
    return this.#candidates.size > 0 && [...this.#candidates.values()].every(({ finished }) => finished)
  }

  #finish(): void {
    if (this.#usage) this.#events.push({ type: 'usage', usage: this.#usage })
    for (const [, { finished }] of [...this.#candidates].sort(([a], [b]) => a - b))
      if (finished) this.#events.push(finished)
    this.#over = true
  }

  #fail(fault: ReturnType<typeof faultIn>): void {
    this.#events.push({ type: 'fail', fault })
    this.#over = true
  }

  #candidate(said: Fields): void {
    const choice = choiceOf(said['index'])
    let at = this.#candidates.get(choice)
    if (!at) this.#candidates.set(choice, (at = { open: -1, kind: 'text', text: '', finished: undefined }))
    if (at.finished) return
    const { content, finishReason, finishMessage, groundingMetadata } = said
    const parts = isFields(content) && Array.isArray(content['parts']) ? content['parts'] : []
    for (const part of parts) if (isFields(part)) this.#part(part, at, choice)
    if (isFields(groundingMetadata)) this.#cite(groundingMetadata, at)
    if (typeof finishReason !== 'string' || finishReason === 'FINISH_REASON_UNSPECIFIED') return
    this.#close(at)
    const why = whyOf(finishReason)
    const detail = typeof finishMessage === 'string' ? finishMessage : why === 'end' ? undefined : finishReason
    at.finished = {
      type: 'finish',
      why,
      ...(detail === undefined ? {} : { detail }),
      ...(choice === 0 ? {} : { choice }),
    }
  }

  #part(part: Fields, at: Candidate, choice: number): void {
    const {
      text: words,
      thought,
      thoughtSignature,
      functionCall,
      inlineData,
      executableCode,
      codeExecutionResult,
    } = part
    const seal = typeof thoughtSignature === 'string' ? { value: thoughtSignature, issuer: this.#from } : undefined
    if (typeof words === 'string') {
      this.#text(words, thought === true ? 'thought' : 'text', seal, at, choice)
    } else if (isFields(functionCall)) {
      const { id, name, args } = functionCall
      if (typeof name !== 'string' || name === '') return
      const index = this.#open({ type: 'call', id: typeof id === 'string' ? id : '', name }, at, choice)
      if (seal) this.#events.push({ type: 'seal', index, seal })
      this.#whole(index, typeof args === 'string' ? args : '{}')
    } else if (isFields(inlineData)) {
      // A draft that it drew while it thought: the picture is still to come.
      if (thought === true) return
      const { mimeType, data } = inlineData
      const mime = typeof mimeType === 'string' ? { mime: mimeType } : {}
      const index = this.#open({ type: 'media', kind: kindOf(mime.mime), ...mime }, at, choice)
      this.#whole(index, typeof data === 'string' ? data : '')
    } else if (isFields(executableCode)) {
      const { language, code } = executableCode
      this.#text(`\n\`\`\`${text(language).toLowerCase()}\n${text(code)}\n\`\`\`\n`, 'text', seal, at, choice)
    } else if (isFields(codeExecutionResult)) {
      this.#text(`\n\`\`\`\n${text(codeExecutionResult['output'])}\n\`\`\`\n`, 'text', seal, at, choice)
    }
  }

  /** The proof of a text comes with it, or in a last part of its own that is empty. */
  #text(text: string, kind: 'text' | 'thought', seal: Seal | undefined, at: Candidate, choice: number): void {
    if (text !== '') {
      if (at.open === -1 || at.kind !== kind) {
        at.open = this.#open({ type: kind }, at, choice)
        at.kind = kind
        at.text = ''
      }
      at.text += text
      this.#events.push({ type: 'delta', index: at.open, text })
    }
    if (seal && at.open !== -1) this.#events.push({ type: 'seal', index: at.open, seal })
  }

  /** Opens a part; the one before is closed. */
  #open(part: Head, at: Candidate, choice: number): number {
    this.#close(at)
    this.#said = true
    const index = this.#next++
    this.#events.push({ type: 'open', index, part, ...(choice === 0 ? {} : { choice }) })
    return index
  }

  #whole(index: number, text: string): void {
    this.#events.push({ type: 'delta', index, text }, { type: 'close', index })
  }

  #close(at: Candidate): void {
    if (at.open !== -1) this.#events.push({ type: 'close', index: at.open })
    at.open = -1
  }

  #cite({ groundingChunks, groundingSupports }: Fields, at: Candidate): void {
    if (at.open === -1 || at.kind !== 'text' || !Array.isArray(groundingChunks)) return
    const sources = groundingChunks.map(chunk => {
      const web = isFields(chunk) && isFields(chunk['web']) ? chunk['web'] : {}
      return typeof web['uri'] === 'string' ? { url: web['uri'], title: web['title'] } : undefined
    })
    const cite = (nth: unknown, more: Partial<Citation>) => {
      const source = typeof nth === 'number' ? sources[nth] : undefined
      if (!source) return
      const title = typeof source.title === 'string' ? { title: source.title } : {}
      const citation: Citation = { kind: 'url', url: source.url, ...title, ...more }
      this.#events.push({ type: 'cite', index: at.open, citation })
    }
    if (!Array.isArray(groundingSupports)) {
      for (const nth of sources.keys()) cite(nth, {})
      return
    }
    for (const support of groundingSupports.filter(isFields)) {
      const where = isFields(support['segment']) ? placed(support['segment'], at.text) : {}
      for (const nth of Array.isArray(support['groundingChunkIndices']) ? support['groundingChunkIndices'] : [])
        cite(nth, where)
    }
  }
}

/** Google counts in bytes, everybody else in characters. */
function placed({ startIndex = 0, endIndex, text }: Fields, said: string): Partial<Citation> {
  const quote = typeof text === 'string' ? { quote: text } : {}
  if (typeof startIndex !== 'number' || typeof endIndex !== 'number') return quote
  const bytes = Buffer.from(said)
  if (endIndex > bytes.length || startIndex > endIndex) return quote
  const start = bytes.toString('utf8', 0, startIndex).length
  return { ...quote, start, end: start + bytes.toString('utf8', startIndex, endIndex).length }
}

export function decodeWhole(body: Buffer, from: Issuer): Event[] {
  const decoder = new GeminiDecoder(from)
  const chunks = chunksIn(body.toString('utf8'))
  if (chunks.length === 0)
    return [{ type: 'fail', fault: { kind: 'upstream', message: 'The upstream gave no answer.' } }]
  const events: Event[] = []
  for (const chunk of chunks) decoder.take(chunk)
  events.push(...decoder.ended())
  const failed = events.find(({ type }) => type === 'fail')
  return failed ? [failed] : events
}

// Arguments are parsed again by whoever is given them: they stay the text that they are.
const args: ReadonlySet<string> = new Set(['args'])

/** One, or a list of them. */
function chunksIn(data: string): Fields[] {
  try {
    const value: unknown = data.includes('"args"') ? parseExact(data, args) : JSON.parse(data)
    return (Array.isArray(value) ? value : [value]).filter(isFields)
  } catch {
    return []
  }
}

// No model gives more candidates, and clients count them.
const MOST_CHOICES = 128
const choiceOf = (value: unknown) =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) < MOST_CHOICES ? Number(value) : 0

const text = (value: unknown) => (typeof value === 'string' ? value : '')

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

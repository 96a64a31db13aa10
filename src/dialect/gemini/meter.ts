// The usage of a Gemini answer as it passes by: a stream of events, one body, or an array of chunks (spec/wire.md §3.3).

import type { Meter } from '../dialect.ts'
import { BodyMeter, bucket, count, errorOf, isObject, isWrong, parse, StreamMeter, sizeOf } from '../meter.ts'

interface RawPart {
  text?: unknown
  functionCall?: { args?: unknown; partialArgs?: unknown } | null
}
interface RawCandidate {
  index?: unknown
  finishReason?: unknown
  finishMessage?: unknown
  content?: { parts?: unknown } | null
}
interface RawChunk {
  /** Code Assist puts each chunk into an envelope (spec/wire.md §3.5). */
  response?: RawChunk | null
  candidates?: unknown
  promptFeedback?: { blockReason?: unknown } | null
  usageMetadata?: Partial<Record<keyof Counts, unknown>> | null
  error?: unknown
}

/** As they stand in usageMetadata. Modes of service (trafficType) have no rates of their own. */
interface Counts {
  promptTokenCount: number
  cachedContentTokenCount: number
  toolUsePromptTokenCount: number
  candidatesTokenCount: number
  thoughtsTokenCount: number
}
const names = [
  'promptTokenCount',
  'cachedContentTokenCount',
  'toolUsePromptTokenCount',
  'candidatesTokenCount',
  'thoughtsTokenCount',
] as const

const outputs = new Set<keyof Counts>(['candidatesTokenCount', 'thoughtsTokenCount'])

// A reason says more than the status; see `toldOf`.
const errorKinds = ['reason', 'status']

// Ends that are no answer when nothing was said before them: a proof that is missing, an account that is out, a model's own slip
// (spec/wire-additions.md §3). After text they are ends; what a filter says is always one.
const failures = new Set([
  'MISSING_THOUGHT_SIGNATURE',
  'PUP_LIMITED_DISABLED',
  'MALFORMED_FUNCTION_CALL',
  'UNEXPECTED_TOOL_CALL',
  'MALFORMED_RESPONSE',
])

export function geminiMeter(streaming: boolean): Meter {
  return streaming ? new GeminiStream() : new BodyMeter(readBody)
}

// Every chunk carries a usage and may carry the end. A search for their names would also find what a model was asked to
// write there: a call's arguments are JSON, not text. So each is parsed; there are few, and an image in one is squeezed before.
class GeminiStream extends StreamMeter {
  readonly #tally = new Tally()

  protected override wants(): boolean {
    return true
  }

  protected override read(_: string, data: string): void {
    for (const chunk of chunksOf(parse(data))) {
      const error = chunk.error ?? (this.begun ? undefined : failureIn(chunk))
      if (error) {
        this.fail(toldOf(error), errorKinds, 'INTERNAL')
        this.ended = true
        continue
      }
      this.emitted += this.#tally.take(chunk)
      this.#tally.into(this)
      this.begun ||= this.#tally.begun
      this.complete = this.#tally.complete
    }
  }
}

function readBody(body: object, meter: BodyMeter): void {
  const tally = new Tally()
  let bytes = 0
  for (const chunk of chunksOf(body)) {
    const error = chunk.error ?? (tally.begun ? undefined : failureIn(chunk))
    bytes += tally.take(chunk)
    if (error) meter.error ??= errorOf(toldOf(error), errorKinds, 'INTERNAL')
  }
  tally.into(meter)
  if (tally.complete && !meter.error) meter.answers(bytes)
}

/** An error with its reason beside its status, and the wait that its details ask for in its words: nobody else is given the details. */
function toldOf(error: unknown): unknown {
  if (!isObject(error)) return error
  const { details, message } = error as { details?: unknown; message?: unknown }
  const all: unknown[] = Array.isArray(details) ? details : []
  const first = (name: string) =>
    all
      .map(one => (isObject(one) ? (one as Record<string, unknown>)[name] : undefined))
      .find(one => typeof one === 'string')
  const wait = first('retryDelay')
  const said = typeof message === 'string' ? message : ''
  const words = wait && !/retry in|resets? (?:in|after)/i.test(said) ? `${said} Please retry in ${wait}.`.trim() : said
  return { reason: first('reason'), ...error, message: words }
}

/** An end that is no answer, as an error; only of a single candidate, since others may have said something. */
function failureIn({ candidates }: RawChunk): object | undefined {
  if (!Array.isArray(candidates) || candidates.length !== 1 || !isObject(candidates[0])) return undefined
  const { finishReason, finishMessage, content } = candidates[0] as RawCandidate
  if (typeof finishReason !== 'string' || !failures.has(finishReason)) return undefined
  const parts = Array.isArray(content?.parts) ? content.parts.filter(isObject) : []
  if (parts.some(says)) return undefined
  return { reason: finishReason, message: typeof finishMessage === 'string' ? finishMessage : finishReason }
}

/** The chunks of a body, which is one, or an array of them: so come streams without `alt=sse`, and some errors of streams. */
function chunksOf(body: object | undefined): RawChunk[] {
  const all: unknown[] = Array.isArray(body) ? body : [body]
  return all.filter(isObject).map(({ response, ...chunk }: RawChunk) => (isObject(response) ? response : chunk))
}

/** What the chunks of one answer say together: counts are cumulative, the last ones are true. */
class Tally {
  begun = false
  #blocked = false
  // The prompt, and the output, were counted; and of each whether a count was there that is none.
  #prompt = false
  #output = false
  #wrongPrompt = false
  #wrongOutput = false
  readonly #seen = new Set<unknown>()
  readonly #finished = new Set<unknown>()
  readonly #counts: Counts = Object.fromEntries(names.map(name => [name, 0])) as unknown as Counts

  /** How many bytes of answer the chunk has: text and arguments of calls. Images are counted in other ways than by their bytes. */
  take({ candidates, promptFeedback, usageMetadata }: RawChunk): number {
    for (const name of names) {
      // What is missing or 0 takes nothing back: some chunks carry only `trafficType`.
      const value = usageMetadata?.[name]
      const told = count(value)
      this.#counts[name] = told || this.#counts[name]
      if (name === 'promptTokenCount') this.#prompt ||= told !== undefined
      if (outputs.has(name)) {
        this.#output ||= told !== undefined
        this.#wrongOutput ||= isWrong(value)
      } else this.#wrongPrompt ||= isWrong(value)
    }
    this.#blocked ||= typeof promptFeedback?.blockReason === 'string'
    this.begun ||= this.#blocked
    let bytes = 0
    for (const candidate of Array.isArray(candidates) ? candidates.filter(isObject) : []) {
      const { index = 0, finishReason, content } = candidate as RawCandidate
      this.#seen.add(index)
      if (typeof finishReason === 'string' && finishReason !== 'FINISH_REASON_UNSPECIFIED') this.#finished.add(index)
      for (const part of Array.isArray(content?.parts) ? content.parts.filter(isObject) : []) {
        bytes += bytesOf(part)
        this.begun ||= says(part)
      }
    }
    this.begun ||= this.#finished.size > 0
    return bytes
  }

  /** Every candidate has said why it ended. A blocked prompt has none. */
  get complete(): boolean {
    return this.#blocked || (this.#seen.size > 0 && this.#finished.size === this.#seen.size)
  }

  into(meter: StreamMeter | BodyMeter): void {
    const { usage } = meter
    const { promptTokenCount, cachedContentTokenCount, toolUsePromptTokenCount } = this.#counts
    usage.input = bucket(Math.max(0, promptTokenCount - cachedContentTokenCount) + toolUsePromptTokenCount)
    usage.cacheRead = bucket(cachedContentTokenCount)
    usage.output = bucket(this.#counts.candidatesTokenCount + this.#counts.thoughtsTokenCount)
    // Counts are cumulative: the last are those that come with the end. No output is not counted at all.
    if (this.#prompt) meter.says('prompt')
    if (this.complete && (this.#output || this.#prompt)) meter.says('output')
    meter.doubts('prompt', this.#wrongPrompt)
    meter.doubts('output', this.#wrongOutput)
  }
}

/** A part that is no empty text: calls, images and what is not known here say something by being there. */
function says(part: object): boolean {
  return Object.entries(part).some(([name, value]) => name !== 'thought' && value !== '' && value !== null)
}

function bytesOf({ text, functionCall }: RawPart): number {
  const args = functionCall?.args ?? functionCall?.partialArgs
  return (typeof text === 'string' ? Buffer.byteLength(text) : 0) + (args ? sizeOf(args) : 0)
}

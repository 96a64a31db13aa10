// Reads Chat Completions answers, streams and wholes, as events. Long, because servers that only resemble OpenAI’s write them in many ways.

import { parseExact } from '../json/exact.ts'
import { isNamed } from '../meter.ts'
import type { Decoder } from '../middle/codec.ts'
import type { Citation, Event, Head, Tokens, Why } from '../middle/form.ts'
import { faultOfError } from '../openai-faults.ts'
import { type Details, InclusiveTokens } from '../openai-usage.ts'
import { SseCutter } from '../sse.ts'
import { whys } from './ends.ts'

/** What is looked at of an answer; whatever else is there is nobody's in another dialect. */
interface RawAnswer {
  id?: unknown
  model?: unknown
  choices?: unknown
  error?: unknown
  service_tier?: unknown
  usage?: RawUsage | null
}

interface RawUsage {
  prompt_tokens?: unknown
  prompt_tokens_details?: Details | null
  completion_tokens?: unknown
  completion_tokens_details?: { reasoning_tokens?: unknown } | null
}

interface RawChoice {
  index?: unknown
  delta?: RawDelta | null
  message?: RawDelta | null
  finish_reason?: unknown
  stop_reason?: unknown
}

type RawDelta = Partial<
  Record<
    | 'content'
    | 'reasoning_content'
    | 'reasoning'
    | 'refusal'
    | 'tool_calls'
    | 'function_call'
    | 'annotations'
    | 'images',
    unknown
  >
>

interface RawCall {
  index?: unknown
  id?: unknown
  type?: unknown
  function?: { name?: unknown; arguments?: unknown } | null
  custom?: { name?: unknown; input?: unknown } | null
}

/** A stream. */
export function chatDecoder(): Decoder {
  const reading = new Reading()
  const cutter = new SseCutter({
    wants: () => true,
    event: (name, data) => reading.event(name, data),
  })
  return {
    push(chunk) {
      cutter.push(chunk)
      return reading.taken()
    },
    end() {
      cutter.end()
      reading.end()
      return reading.taken()
    },
  }
}

/** A whole answer. */
export function decodeWhole(body: Buffer): Event[] {
  const reading = new Reading()
  reading.answer(body.toString('utf8'))
  return reading.taken()
}

/** A call that is being written. */
interface Calling {
  /** -1: it has no name yet */
  index: number
  id: string
  name: string
  /** what came before its name */
  early: string
  /** its input so far */
  input: string
}

interface Choice {
  nth: number
  /** the part that is said, of which there is one at a time */
  saying: { kind: Saying; index: number } | undefined
  calls: Map<number | string, Calling>
  lastCall: number | string
  refused: boolean
  why: Why | undefined
  stopSequence: string | undefined
}

type Saying = 'text' | 'thought' | 'refusal'

class Reading {
  #events: Event[] = []
  #started = false
  #over = false
  #index = 0
  #usage: Tokens | undefined
  /** it said itself that it has ended, or counted what it was */
  #whole = false
  readonly #tokens = new InclusiveTokens()
  readonly #choices = new Map<number, Choice>()
  #exact: { text: string; found: ReadonlyMap<string, string> } | undefined

  taken(): Event[] {
    const events = this.#events
    this.#events = []
    return events
  }

  event(name: string, data: string): void {
    if (this.#over) return
    if (data.trim() === '[DONE]') {
      this.#whole = true
      this.#finish(true)
      return
    }
    const chunk = parsed(data)
    if (!chunk) return
    if (chunk.error || name === 'error') {
      this.#fail(chunk.error ?? chunk)
      return
    }
    this.#take(chunk, data)
    this.#whole ||= isNamed(chunk.usage)
  }

  answer(text: string): void {
    const body = parsed(text)
    if (body?.error) this.#fail(body.error)
    else if (!body || !Array.isArray(body.choices) || body.choices.length === 0)
      this.#fail('The upstream answered with something that is no answer.')
    else {
      this.#take(body, text)
      this.#finish()
    }
  }

  /** Without `[DONE]`, too, when it was counted: as the meter has it. */
  end(): void {
    if (this.#over) return
    if (this.#whole) this.#finish()
    else this.#truncated()
  }

  #take(answer: RawAnswer, text: string): void {
    const choices = Array.isArray(answer.choices) ? (answer.choices as unknown[]).filter(isNamed) : []
    // Azure begins with a chunk that names neither answer nor model.
    if (!this.#started && (choices.length > 0 || isNamed(answer.usage))) {
      this.#started = true
      this.#events.push({ type: 'start', id: textOf(answer.id), model: textOf(answer.model) })
    }
    for (const raw of choices) this.#choice(raw as RawChoice, text)
    if (!isNamed(answer.usage)) return
    const { prompt_tokens, prompt_tokens_details, completion_tokens, completion_tokens_details } = answer.usage
    const tier = textOf(answer.service_tier)
    this.#usage = {
      ...this.#tokens.take(
        prompt_tokens,
        prompt_tokens_details,
        completion_tokens,
        completion_tokens_details?.reasoning_tokens,
      ),
      ...(tier ? { tier } : {}),
    }
  }

  #choice(raw: RawChoice, text: string): void {
    const nth = whole(raw.index) ?? 0
    let choice = this.#choices.get(nth)
    if (!choice) {
      choice = {
        nth,
        saying: undefined,
        calls: new Map(),
        lastCall: -1,
        refused: false,
        why: undefined,
        stopSequence: undefined,
      }
      this.#choices.set(nth, choice)
    }
    const said = raw.delta ?? raw.message
    // What comes behind the end of a choice is of nobody.
    if (isNamed(said) && choice.why === undefined) this.#said(choice, said as RawDelta, text)
    // Servers exist that say '' for not yet.
    if (typeof raw.finish_reason !== 'string' || raw.finish_reason === '' || choice.why !== undefined) return
    choice.why = whys[raw.finish_reason] ?? 'other'
    // vLLM and its like: the text at which it stopped.
    if (choice.why === 'end' && typeof raw.stop_reason === 'string' && raw.stop_reason !== '') {
      choice.why = 'stopSequence'
      choice.stopSequence = raw.stop_reason
    }
    if (choice.why === 'end' && choice.refused) choice.why = 'refused'
    this.#closeAll(choice)
  }

  #said(choice: Choice, delta: RawDelta, text: string): void {
    this.#say(choice, 'thought', textOf(delta.reasoning_content ?? delta.reasoning))
    if (Array.isArray(delta.content)) for (const part of delta.content) this.#part(choice, part)
    else this.#say(choice, 'text', textOf(delta.content))
    this.#say(choice, 'refusal', textOf(delta.refusal))
    for (const one of listOf(delta.images)) this.#image(choice, one)
    for (const one of listOf(delta.annotations)) this.#cite(choice, one)
    for (const [nth, call] of listOf(delta.tool_calls).entries())
      if (isNamed(call)) this.#call(choice, call as RawCall, nth, text)
    if (isNamed(delta.function_call)) this.#call(choice, { function: delta.function_call, index: 'legacy' }, 0, text)
  }

  // Mistral and its like write their content in parts.
  #part(choice: Choice, part: unknown): void {
    const { type, text, thinking, refusal } = Object(part) as Record<string, unknown>
    if (type === 'thinking')
      for (const one of listOf(thinking)) this.#say(choice, 'thought', textOf(Object(one)['text']))
    else if (type === 'refusal') this.#say(choice, 'refusal', textOf(refusal))
    else this.#say(choice, 'text', textOf(text))
  }

  #say(choice: Choice, kind: Saying, text: string): void {
    if (text === '') return
    if (choice.saying?.kind !== kind) {
      this.#hush(choice)
      choice.saying = { kind, index: this.#open(choice, { type: kind }) }
    }
    choice.refused ||= kind === 'refusal'
    this.#events.push({ type: 'delta', index: choice.saying!.index, text })
  }

  #cite(choice: Choice, raw: unknown): void {
    const { type, url_citation: said } = Object(raw) as { type?: unknown; url_citation?: Record<string, unknown> }
    if (type !== 'url_citation' || !isNamed(said)) return
    if (choice.saying?.kind !== 'text') return
    const { url, title, content, start_index, end_index } = said as Record<string, unknown>
    const citation: Citation = { kind: 'url', url: textOf(url) }
    if (textOf(title)) citation.title = textOf(title)
    if (textOf(content)) citation.quote = textOf(content)
    if (typeof start_index === 'number') citation.start = start_index
    if (typeof end_index === 'number') citation.end = end_index
    this.#events.push({ type: 'cite', index: choice.saying.index, citation })
  }

  // OpenRouter and its like: images that the model made.
  #image(choice: Choice, raw: unknown): void {
    const url = textOf(Object(Object(raw)['image_url'])['url'])
    const [, mime, data] = /^data:([^;,]+);base64,(.+)$/s.exec(url) ?? []
    if (!mime || !data) return
    this.#hush(choice)
    const index = this.#open(choice, { type: 'media', kind: 'image', mime })
    this.#events.push({ type: 'delta', index, text: data }, { type: 'close', index })
  }

  #call(choice: Choice, raw: RawCall, nth: number, text: string): void {
    const custom = raw.type === 'custom' || (isNamed(raw.custom) && !isNamed(raw.function))
    const said = (custom ? raw.custom : raw.function) as Record<string, unknown> | null | undefined
    const id = textOf(raw.id)
    const name = textOf(said?.['name'])
    const piece = this.#argumentsOf(custom ? said?.['input'] : said?.['arguments'], text)
    let key: number | string = raw.index === 'legacy' ? 'legacy' : (whole(raw.index) ?? -1)
    // Without an index it is the call of its id, or the last one; a whole answer numbers by place.
    if (key === -1) key = id !== '' ? id : choice.calls.size === 0 || name !== '' ? `#${nth}` : choice.lastCall
    let calling = choice.calls.get(key)
    // Servers exist that number all calls alike.
    if (calling && name !== '' && isAnother(calling, id, name, piece)) {
      this.#closeCall(calling)
      choice.calls.delete(key)
      calling = undefined
    }
    if (!calling) {
      // An empty piece behind the last one is no call.
      if (id === '' && name === '' && piece === '') return
      this.#hush(choice)
      calling = { index: -1, id, name: '', early: '', input: '' }
      choice.calls.set(key, calling)
    }
    choice.lastCall = key
    calling.id ||= id
    if (calling.index === -1 && name !== '') {
      calling.name = name
      calling.index = this.#open(choice, { type: 'call', id: calling.id, name, ...(custom ? { freeform: true } : {}) })
      if (calling.early !== '') this.#events.push({ type: 'delta', index: calling.index, text: calling.early })
    }
    if (piece === '') return
    calling.input += piece
    if (calling.index === -1) calling.early += piece
    else this.#events.push({ type: 'delta', index: calling.index, text: piece })
  }

  /** The input of a call as text, whatever it is written as; of an object its JSON as it stood. */
  #argumentsOf(value: unknown, text: string): string {
    if (typeof value === 'string') return value
    if (!isNamed(value)) return ''
    // Nothing that a client parses again may lose its digits. An answer is looked through once, whatever it calls.
    if (this.#exact?.text !== text) this.#exact = { text, found: exactOf(text) }
    const plain = JSON.stringify(value)
    return this.#exact.found.get(plain) ?? plain
  }

  #open(choice: Choice, part: Head): number {
    const index = this.#index++
    this.#events.push({ type: 'open', index, part, ...(choice.nth > 0 ? { choice: choice.nth } : {}) })
    return index
  }

  #hush(choice: Choice): void {
    if (choice.saying) this.#events.push({ type: 'close', index: choice.saying.index })
    choice.saying = undefined
  }

  #closeCall({ index }: Calling): void {
    if (index !== -1) this.#events.push({ type: 'close', index })
  }

  #closeAll(choice: Choice): void {
    this.#hush(choice)
    for (const calling of choice.calls.values()) this.#closeCall(calling)
    choice.calls.clear()
  }

  /** @param done it says that it is over; servers exist that give no reason then, but have counted it */
  #finish(done = false): void {
    const choices = [...this.#choices.values()]
    for (const choice of done && this.#usage ? choices : []) {
      if (choice.why !== undefined || !(choice.saying || choice.calls.size > 0)) continue
      choice.why = choice.refused ? 'refused' : 'end'
      this.#closeAll(choice)
    }
    if (choices.length === 0 || choices.some(({ why }) => why === undefined)) {
      this.#truncated()
      return
    }
    this.#over = true
    if (this.#usage) this.#events.push({ type: 'usage', usage: this.#usage })
    for (const { nth, why, stopSequence } of choices)
      this.#events.push({
        type: 'finish',
        why: why!,
        ...(stopSequence === undefined ? {} : { stopSequence }),
        ...(nth > 0 ? { choice: nth } : {}),
      })
  }

  #fail(error: unknown): void {
    this.#over = true
    this.#events.push({ type: 'fail', fault: faultOfError(error, 0) })
  }

  #truncated(): void {
    this.#over = true
    const message = 'The upstream broke off in the middle of its answer.'
    this.#events.push({ type: 'fail', fault: { kind: 'truncated', message } })
  }
}

function parsed(text: string): RawAnswer | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isNamed(value) ? value : undefined
  } catch {
    return undefined
  }
}

const textOf = (value: unknown) => (typeof value === 'string' ? value : '')
const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])

/** The number of a choice or a call; of what is none undefined. */
const whole = (value: unknown) => (Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : undefined)

/**
 * Whether what comes with a name is another call than the one that has its number: it has another id, or, where a server gives
 * none, another name, or the input that was there is whole and one begins anew. Others say the name again with every piece.
 */
function isAnother(calling: Calling, id: string, name: string, piece: string): boolean {
  if (calling.index === -1) return false
  if (id !== '' && calling.id !== '') return id !== calling.id
  if (calling.input === '') return false
  return name !== calling.name || (piece.startsWith('{') && isWhole(calling.input))
}

function isWhole(input: string): boolean {
  try {
    JSON.parse(input)
    return true
  } catch {
    return false
  }
}

/** The JSON texts of all members `arguments`, by what they are as plain values. */
function exactOf(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  const look = (value: unknown) => {
    if (typeof value !== 'object' || value === null) return
    for (const [name, one] of Object.entries(value))
      if (name === 'arguments' && typeof one === 'string') found.set(JSON.stringify(JSON.parse(one)), one)
      else look(one)
  }
  try {
    look(parseExact(text, new Set(['arguments'])))
  } catch {
    // Deeper than it reads.
  }
  return found
}

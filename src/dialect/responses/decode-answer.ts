// An upstream's Responses answer as events. Long, because all its events fill the same items.
// Ids rotate and events are left out: items are known by their place, and what no delta told is taken from what is done.

import { asJson } from '../json/exact.ts'
import { isNamed, parse } from '../meter.ts'
import type { Decoder } from '../middle/codec.ts'
import type { Event, Fault, Head, Issuer, Json, Tokens, Why } from '../middle/form.ts'
import { wordOf, words } from '../middle/read.ts'
import { type Details, InclusiveTokens } from '../openai-usage.ts'
import { SseCutter } from '../sse.ts'
import { callOf, exactly, type Fields, faultOf, textIn } from './raw.ts'

interface RawUsage {
  input_tokens?: unknown
  input_tokens_details?: Details | null
  output_tokens?: unknown
  output_tokens_details?: { reasoning_tokens?: unknown } | null
}

/** A part that was opened: one of a message, or all of an item. */
interface Open {
  index: number
  /** so much of it was told */
  text: string
  cited: number
  closed: boolean
}

interface Item {
  type: string
  phase: 'commentary' | 'final' | undefined
  /** of a message by content_index; of any other item the one that it is */
  parts: Map<number, Open>
  /** of reasoning: the part of its summary that was told last */
  summary: number
  done: boolean
}

/** Of an item that is one part. */
const ALL = -1
const DONE = 'response.output_item.done'
const phases = words<'commentary' | 'final'>({ commentary: 'commentary', final_answer: 'final' })

export class ResponseDecoder implements Decoder {
  readonly #from: Issuer
  readonly #out: Event[] = []
  readonly #items = new Map<number, Item>()
  readonly #tokens = new InclusiveTokens()
  #next = 0
  #started = false
  #over = false
  #refused = false
  /** of servers that do not number their items */
  #last = -1
  readonly #cutter = new SseCutter({
    wants: () => !this.#over,
    event: (name, data, wanted) => {
      if (!wanted || this.#over || data === '[DONE]') return
      // An item that is done may be one that nobody here knows: it stays as it stood.
      const exact = name === DONE || ((name === '' || name === 'message') && data.includes(`"${DONE}"`))
      const event = (exact ? exactly(data) : parse(data)) as Fields | undefined
      if (event) this.take(typeof event['type'] === 'string' ? event['type'] : name, event)
    },
  })

  constructor(from: Issuer) {
    this.#from = from
  }

  push(chunk: Buffer): Event[] {
    this.#cutter.push(chunk)
    return this.#out.splice(0)
  }

  end(): Event[] {
    this.#cutter.end()
    if (!this.#over) this.#fail({ kind: 'truncated', message: 'The upstream broke off in the middle of its answer.' })
    return this.#out.splice(0)
  }

  /** The events of a whole answer. */
  whole(body: Buffer): Event[] {
    const response = exactly(body.toString('utf8')) as Fields | undefined
    if (!response || (!Array.isArray(response['output']) && !response['error'] && response['status'] !== 'failed'))
      this.#fail({ kind: 'upstream', message: 'The upstream answered with something that is no response.' })
    else this.#terminal(terminals[wordOf(response['status'])] ?? 'response.completed', response)
    return this.#out.splice(0)
  }

  /** One event of the stream. */
  take(type: string, event: Fields): void {
    switch (type) {
      case 'response.created':
      case 'response.queued':
      case 'response.in_progress':
        this.#start(event['response'])
        return
      case 'response.output_item.added':
        this.#added(event)
        return
      case 'response.content_part.added':
        this.#partAdded(event)
        return
      case 'response.output_text.delta':
      case 'response.refusal.delta':
        this.#text(type.includes('refusal') ? 'refusal' : 'text', event, event['delta'])
        return
      case 'response.output_text.done':
        this.#rest('text', event, event['text'])
        return
      case 'response.refusal.done':
        this.#rest('refusal', event, event['refusal'])
        return
      case 'response.output_text.annotation.added':
        this.#cite(this.#partAt(event), event['annotation'])
        return
      case 'response.content_part.done':
        this.#partDone(event)
        return
      case 'response.reasoning_summary_text.delta':
      case 'response.reasoning_text.delta':
        this.#reason(event, event['delta'])
        return
      case 'response.reasoning_summary_text.done':
      case 'response.reasoning_text.done':
        this.#reasoned(event)
        return
      case 'response.function_call_arguments.delta':
      case 'response.custom_tool_call_input.delta':
        this.#input(event, event['delta'])
        return
      case 'response.function_call_arguments.done':
        this.#inputDone(event, event['arguments'])
        return
      case 'response.custom_tool_call_input.done':
        this.#inputDone(event, event['input'])
        return
      case DONE:
        this.#done(this.#placeOf(event), event['item'])
        return
      case 'response.completed':
      case 'response.incomplete':
      case 'response.failed':
      case 'response.cancelled':
        this.#terminal(type, event['response'])
        return
      case 'error':
        // Recorded nested; documented flat.
        this.#fail(faultOf(event['error'] ?? event))
    }
  }

  // ---- items ----

  #start(response: unknown): void {
    if (this.#started) return
    this.#started = true
    const { id, model } = Object(response) as Fields
    this.#out.push({ type: 'start', id: textIn(id), model: textIn(model) })
  }

  #placeOf(event: Fields): number {
    const at = event['output_index']
    return typeof at === 'number' && Number.isSafeInteger(at) ? at : this.#last
  }

  #added(event: Fields): void {
    this.#start(undefined)
    const said = Object(event['item']) as Fields
    const at = typeof event['output_index'] === 'number' ? event['output_index'] : this.#last + 1
    this.#itemAt(at, said)
  }

  #itemAt(at: number, said: Fields): Item {
    const known = this.#items.get(at)
    if (known) return known
    this.#start(undefined)
    const item: Item = {
      type: textIn(said['type']),
      phase: phases[textIn(said['phase'])],
      parts: new Map(),
      summary: 0,
      done: false,
    }
    this.#items.set(at, item)
    this.#last = at
    const head = callOf(said)
    if (head) this.#open(item, ALL, head)
    return item
  }

  #open(item: Item, part: number, head: Head): Open {
    const open = { index: this.#next++, text: '', cited: 0, closed: false }
    item.parts.set(part, open)
    this.#refused ||= head.type === 'refusal'
    this.#out.push({ type: 'open', index: open.index, part: head })
    return open
  }

  #say(open: Open, text: unknown): void {
    if (typeof text !== 'string' || text === '' || open.closed) return
    open.text += text
    this.#out.push({ type: 'delta', index: open.index, text })
  }

  #close(open: Open): void {
    if (open.closed) return
    open.closed = true
    this.#out.push({ type: 'close', index: open.index })
  }

  // ---- messages ----

  #partAt(event: Fields): Open | undefined {
    return this.#items.get(this.#placeOf(event))?.parts.get(nthOf(event['content_index']))
  }

  #spoken(kind: 'text' | 'refusal', event: Fields): Open | undefined {
    const item = this.#itemAt(Math.max(0, this.#placeOf(event)), { type: 'message' })
    if (item.done) return undefined
    const part = nthOf(event['content_index'])
    const phase = item.phase ? { phase: item.phase } : {}
    return item.parts.get(part) ?? this.#open(item, part, { type: kind, ...phase })
  }

  #partAdded(event: Fields): void {
    const { type } = Object(event['part']) as Fields
    if (type === 'output_text' || type === 'refusal') this.#spoken(type === 'refusal' ? 'refusal' : 'text', event)
  }

  #text(kind: 'text' | 'refusal', event: Fields, text: unknown): void {
    const open = this.#spoken(kind, event)
    if (open) this.#say(open, text)
  }

  #rest(kind: 'text' | 'refusal', event: Fields, whole: unknown): void {
    const open = this.#spoken(kind, event)
    if (open && open.text === '') this.#say(open, whole)
  }

  #partDone(event: Fields): void {
    const part = Object(event['part']) as Fields
    const kind = part['type'] === 'refusal' ? 'refusal' : part['type'] === 'output_text' ? 'text' : undefined
    if (!kind) return
    this.#rest(kind, event, part['text'] ?? part['refusal'])
    const open = this.#partAt(event)
    if (!open) return
    this.#citeAll(open, part['annotations'])
    this.#close(open)
  }

  #citeAll(open: Open, annotations: unknown): void {
    for (const one of Array.isArray(annotations) ? annotations.slice(open.cited) : []) this.#cite(open, one)
  }

  #cite(open: Open | undefined, annotation: unknown): void {
    if (!open || open.closed) return
    open.cited++
    const { type, url, title, start_index, end_index } = Object(annotation) as Fields
    if (type !== 'url_citation' || typeof url !== 'string') return
    this.#out.push({
      type: 'cite',
      index: open.index,
      citation: {
        kind: 'url',
        url,
        ...(typeof title === 'string' ? { title } : {}),
        ...(typeof start_index === 'number' ? { start: start_index } : {}),
        ...(typeof end_index === 'number' ? { end: end_index } : {}),
      },
    })
  }

  // ---- reasoning ----

  #reason(event: Fields, text: unknown): void {
    const item = this.#itemAt(Math.max(0, this.#placeOf(event)), { type: 'reasoning' })
    if (item.done || typeof text !== 'string' || text === '') return
    const open = item.parts.get(ALL) ?? this.#open(item, ALL, { type: 'thought' })
    const nth = nthOf(event['summary_index'] ?? event['content_index'])
    if (nth !== item.summary && open.text !== '') this.#say(open, '\n\n')
    item.summary = nth
    this.#say(open, text)
  }

  #reasoned(event: Fields): void {
    const item = this.#items.get(this.#placeOf(event))
    const nth = nthOf(event['summary_index'] ?? event['content_index'])
    const open = item?.parts.get(ALL)
    // Only what no delta told.
    if (!open || (nth !== item!.summary && nth > 0) || open.text === '') this.#reason(event, event['text'])
  }

  // ---- calls ----

  #input(event: Fields, text: unknown): void {
    const open = this.#items.get(this.#placeOf(event))?.parts.get(ALL)
    if (open) this.#say(open, text)
  }

  #inputDone(event: Fields, whole: unknown): void {
    const open = this.#items.get(this.#placeOf(event))?.parts.get(ALL)
    if (open && open.text === '') this.#say(open, whole)
  }

  // ---- done ----

  #done(at: number, said: unknown): void {
    if (!isNamed(said)) return
    const fields = said as Fields
    const item = this.#itemAt(at < 0 ? this.#last + 1 : at, fields)
    if (item.done) return
    switch (fields['type']) {
      case 'message':
        this.#messageDone(item, fields)
        break
      case 'reasoning':
        this.#reasoningDone(item, fields)
        break
      case 'function_call':
      case 'custom_tool_call': {
        const head = callOf(fields)!
        const open = item.parts.get(ALL) ?? this.#open(item, ALL, head)
        if (open.text === '') this.#say(open, fields['arguments'] ?? fields['input'])
        this.#close(open)
        break
      }
      default: {
        const kind = textIn(fields['type'])
        // It was opened as something else.
        const before = item.parts.get(ALL)
        if (before) {
          this.#close(before)
          break
        }
        const open = this.#open(item, ALL, { type: 'opaque', dialect: 'responses', kind })
        this.#out.push({
          type: 'close',
          index: open.index,
          part: { type: 'opaque', dialect: 'responses', kind, json: asJson(fields) as Json },
        })
        open.closed = true
      }
    }
    item.done = true
  }

  #messageDone(item: Item, { content, phase }: Fields): void {
    item.phase ??= phases[textIn(phase)]
    for (const [nth, one] of (Array.isArray(content) ? content : []).entries()) {
      const { type, text, refusal, annotations } = Object(one) as Fields
      const kind = type === 'refusal' ? 'refusal' : type === 'output_text' ? 'text' : undefined
      if (!kind) continue
      const open =
        item.parts.get(nth) ?? this.#open(item, nth, { type: kind, ...(item.phase ? { phase: item.phase } : {}) })
      if (open.text === '') this.#say(open, text ?? refusal)
      this.#citeAll(open, annotations)
      this.#close(open)
    }
    for (const open of item.parts.values()) this.#close(open)
  }

  #reasoningDone(item: Item, { summary, content, encrypted_content: proof }: Fields): void {
    const texts = [summary, content]
      .map(list => (Array.isArray(list) ? list : []).map(one => textIn((Object(one) as Fields)['text'])))
      .find(list => list.some(text => text !== ''))
    const sealed = typeof proof === 'string' && proof !== ''
    let open = item.parts.get(ALL)
    // Reasoning of which nothing is to be seen and nothing proved is none.
    if (!open && !texts && !sealed) return
    open ??= this.#open(item, ALL, { type: 'thought' })
    if (open.text === '' && texts) this.#say(open, texts.join('\n\n'))
    if (sealed) this.#out.push({ type: 'seal', index: open.index, seal: { value: proof, issuer: this.#from } })
    this.#close(open)
  }

  // ---- the end ----

  #terminal(type: string, said: unknown): void {
    const response = Object(said) as Fields
    this.#start(response)
    if (type === 'response.failed' || type === 'response.cancelled' || isNamed(response['error'])) {
      const error = response['error'] ?? { message: 'The upstream did not finish its answer.' }
      this.#usage(response)
      this.#fail(faultOf(error))
      return
    }
    for (const [at, item] of (Array.isArray(response['output']) ? response['output'] : []).entries())
      if (!this.#items.get(at)?.done) this.#done(at, item)
    let calls = false
    for (const item of this.#items.values()) {
      for (const open of item.parts.values()) this.#close(open)
      calls ||= item.type === 'function_call' || item.type === 'custom_tool_call'
    }
    this.#usage(response)
    this.#over = true
    const { reason } = Object(response['incomplete_details']) as Fields
    const why: Why =
      type === 'response.incomplete'
        ? (reasons[textIn(reason)] ?? 'length')
        : calls
          ? 'calls'
          : this.#refused
            ? 'refused'
            : 'end'
    this.#out.push({ type: 'finish', why })
  }

  #usage({ usage, service_tier, tool_usage }: Fields): void {
    if (!isNamed(usage)) return
    const { input_tokens, input_tokens_details, output_tokens, output_tokens_details } = usage as RawUsage
    const tokens: Tokens = this.#tokens.take(
      input_tokens,
      input_tokens_details,
      output_tokens,
      output_tokens_details?.reasoning_tokens,
    )
    const searches = nthOf((Object((Object(tool_usage) as Fields)['web_search']) as Fields)['num_requests'])
    this.#out.push({
      type: 'usage',
      usage: {
        ...tokens,
        ...(searches > 0 ? { webSearches: searches } : {}),
        ...(typeof service_tier === 'string' ? { tier: service_tier } : {}),
      },
    })
  }

  #fail(fault: Fault): void {
    if (this.#over) return
    this.#over = true
    this.#out.push({ type: 'fail', fault })
  }
}

const terminals = words<string>({
  completed: 'response.completed',
  incomplete: 'response.incomplete',
  failed: 'response.failed',
  cancelled: 'response.cancelled',
})

const reasons = words<Why>({
  max_output_tokens: 'length',
  max_messages: 'length',
  content_filter: 'safety',
  steered: 'other',
})

const nthOf = (value: unknown) => (typeof value === 'number' ? value : 0)

// Writes answers as Chat Completions: as a stream of chunks, or whole.
import { writeExact } from '../json/exact.ts'
import type { Answer, Asked, Choice, Encoder } from '../middle/codec.ts'
import type { Call, Citation, Event, Head, Part, Tokens, Why } from '../middle/form.ts'
import { textOfPart } from '../middle/gather.ts'
import { openAiErrorOf, REFUSED } from '../openai-faults.ts'
import { inclusive } from '../openai-usage.ts'

const reasons: Record<Why, string> = {
  end: 'stop',
  stopSequence: 'stop',
  length: 'length',
  contextFull: 'length',
  calls: 'tool_calls',
  paused: 'stop',
  refused: 'content_filter',
  safety: 'content_filter',
  malformedCall: 'stop',
  other: 'stop',
}

// Of a token, in text that is not known (spec/wire.md §1.5).
const BYTES = 4

/** What a choice has said so far. */
interface Said {
  calls: number
  /** characters of its content */
  content: number
  refused: boolean
  finished: boolean
}

interface Open {
  head: Head
  choice: number
  /** of a call its place among the calls */
  nth: number
  empty: boolean
  /** of a text: where in the content it begins, and what it cites */
  from: number
  cited: Citation[]
}

export function chatEncoder(asked: Asked): Encoder {
  return new ChatEncoder(asked)
}

class ChatEncoder implements Encoder {
  readonly #asked: Asked
  readonly #open = new Map<number, Open>()
  readonly #choices = new Map<number, Said>()
  #before = ''
  #usage: Tokens | undefined
  #written = 0
  #over = false

  constructor(asked: Asked) {
    this.#asked = asked
  }

  write(event: Event): string {
    if (this.#over) return ''
    switch (event.type) {
      case 'start':
        this.#usage = event.usage
        this.#before = this.#beginning(event.id, event.model)
        return this.#role(0)
      case 'open':
        return this.#opened(event)
      case 'delta':
        return this.#delta(event.index, event.text)
      case 'cite':
        this.#open.get(event.index)?.cited.push(event.citation)
        return ''
      case 'close':
        return this.#closed(event.index, event.part)
      case 'usage':
        this.#usage = event.usage
        return ''
      case 'idle':
        return ': ping\n\n'
      case 'finish':
        return this.#finish(event)
      case 'fail':
        this.#over = true
        return frame(JSON.stringify({ error: openAiErrorOf(event.fault) }))
      default:
        return ''
    }
  }

  #beginning(upstreamId: string, upstreamModel: string): string {
    const { model, created, id } = this.#asked
    const begun = {
      id: idOf(upstreamId, this.#asked) || id('chatcmpl-'),
      object: 'chat.completion.chunk',
      created,
      model: model || upstreamModel,
    }
    return `${JSON.stringify(begun).slice(0, -1)},`
  }

  #chunk(choice: number, delta: string, reason = 'null'): string {
    this.#before ||= this.#beginning('', '')
    // Who asks for the usage has it in every chunk, as null until the last.
    const usage = this.#asked.ask.wants.usage ? ',"usage":null' : ''
    const said = `"choices":[{"index":${choice},"delta":${delta},"logprobs":null,"finish_reason":${reason}}]`
    return frame(`${this.#before}${said}${usage}}`)
  }

  /** The first chunk of a choice. */
  #role(choice: number): string {
    if (this.#choices.has(choice)) return ''
    this.#choices.set(choice, { calls: 0, content: 0, refused: false, finished: false })
    return this.#chunk(choice, '{"role":"assistant","content":"","refusal":null}')
  }

  #opened({ index, part, choice = 0 }: Event & { type: 'open' }): string {
    const first = this.#role(choice)
    const said = this.#choices.get(choice)!
    const open: Open = { head: part, choice, nth: 0, empty: true, from: said.content, cited: [] }
    this.#open.set(index, open)
    if (part.type === 'refusal') said.refused = true
    if (part.type === 'media' && part.kind === 'image')
      return first + this.#text(choice, 'content', `![image](data:${part.mime ?? 'image/png'};base64,`)
    if (part.type !== 'call' || part.by) return first
    open.nth = said.calls++
    const { id, name } = part
    const call = part.freeform
      ? { index: open.nth, id, type: 'custom', custom: { name, input: '' } }
      : { index: open.nth, id, type: 'function', function: { name, arguments: '' } }
    return first + this.#chunk(choice, `{"tool_calls":[${JSON.stringify(call)}]}`)
  }

  #delta(index: number, text: string): string {
    const open = this.#open.get(index)
    if (!open || text === '') return ''
    open.empty = false
    const { head, choice, nth } = open
    switch (head.type) {
      case 'text':
        return this.#text(choice, 'content', text)
      case 'thought':
        return this.#asked.ask.wants.reasoning ? this.#text(choice, 'reasoning_content', text) : ''
      case 'refusal':
        return this.#text(choice, 'refusal', text)
      case 'media':
        return head.kind === 'image' ? this.#text(choice, 'content', text) : ''
      case 'call': {
        if (head.by) return ''
        this.#written += text.length
        const said = JSON.stringify(text)
        const piece = head.freeform ? `"custom":{"input":${said}}` : `"function":{"arguments":${said}}`
        return this.#chunk(choice, `{"tool_calls":[{"index":${nth},${piece}}]}`)
      }
      default:
        return ''
    }
  }

  #text(choice: number, field: string, text: string): string {
    this.#written += text.length
    if (field === 'content') this.#choices.get(choice)!.content += text.length
    return this.#chunk(choice, `{"${field}":${JSON.stringify(text)}}`)
  }

  #cited({ choice, from, cited }: Open): string {
    const said = annotations(cited, from, this.#choices.get(choice)!.content)
    return said.length === 0 ? '' : this.#chunk(choice, `{"annotations":${JSON.stringify(said)}}`)
  }

  #closed(index: number, part: Part | undefined): string {
    const open = this.#open.get(index)
    if (!open) return ''
    let rest = ''
    // What came in one piece, without a delta.
    if (open.empty && part) rest = this.#delta(index, textOfPart(part) ?? '')
    this.#open.delete(index)
    const { head, choice } = open
    if (head.type === 'media' && head.kind === 'image') return rest + this.#text(choice, 'content', ')')
    // An input that is parsed must be there.
    if (open.empty && head.type === 'call' && !head.freeform && !head.by) {
      this.#open.set(index, open)
      rest += this.#delta(index, '{}')
      this.#open.delete(index)
    }
    return head.type === 'text' ? rest + this.#cited(open) : rest
  }

  #finish({ why, detail, choice = 0 }: Event & { type: 'finish' }): string {
    let out = this.#role(choice)
    const said = this.#choices.get(choice)!
    if (said.finished) return ''
    said.finished = true
    if (why === 'refused' && !said.refused) out += this.#text(choice, 'refusal', detail || REFUSED)
    out += this.#chunk(choice, '{}', `"${reasons[why]}"`)
    if (![...this.#choices.values()].every(({ finished }) => finished)) return out
    this.#over = true
    if (this.#asked.ask.wants.usage) {
      const usage = usageOf(this.#usage ?? estimated(this.#asked, this.#written))
      out += frame(`${this.#before}"choices":[],"usage":${JSON.stringify(usage)}}`)
    }
    return `${out}data: [DONE]\n\n`
  }
}

const frame = (json: string) => `data: ${json}\n\n`

/** An answer keeps its own id where it has one of this dialect, or where nothing else is changed either. */
const idOf = (id: string, { model }: Asked) => (id.startsWith('chatcmpl-') || model === '' ? id : '')

/** What a text cites, by its place in the content: of what is not told where, the whole text. */
function annotations(cited: readonly Citation[], from: number, to: number): object[] {
  return cited.flatMap(({ kind, url, title, start, end }) => {
    if (kind !== 'url' || !url) return []
    const place =
      start === undefined ? { start_index: from, end_index: to } : placed(from + start, from + (end ?? start))
    return [{ type: 'url_citation', url_citation: { ...place, title: title ?? url, url } }]
  })
}

const placed = (start_index: number, end_index: number) => ({ start_index, end_index })

function estimated({ promptTokens }: Asked, written: number): Tokens {
  return { input: promptTokens, output: Math.ceil(written / BYTES), cacheRead: 0, cacheWrite: {} }
}

function usageOf(tokens: Tokens): object {
  const { prompt, read, written } = inclusive(tokens)
  return {
    prompt_tokens: prompt,
    completion_tokens: tokens.output,
    total_tokens: prompt + tokens.output,
    prompt_tokens_details: { cached_tokens: read, ...(written > 0 ? { cache_write_tokens: written } : {}) },
    ...(tokens.thinking === undefined ? {} : { completion_tokens_details: { reasoning_tokens: tokens.thinking } }),
  }
}

/** A whole answer. */
export function encodeWhole(answer: Answer, asked: Asked): string {
  const { model, created, id } = asked
  const choices = answer.choices.map(choiceOf(asked))
  const written = choices.reduce((sum, { bytes }) => sum + bytes, 0)
  return writeExact({
    id: idOf(answer.id, asked) || id('chatcmpl-'),
    object: 'chat.completion',
    created,
    model: model || answer.model,
    choices: choices.map(({ said }) => said),
    usage: usageOf(answer.usage ?? estimated(asked, written)),
  })
}

const choiceOf =
  (asked: Asked) =>
  ({ parts, why, detail }: Choice, index: number) => {
    const text = (type: 'text' | 'thought' | 'refusal') =>
      parts
        .map(part => (part.type === type ? part.text : part.type === 'media' && type === 'text' ? imageOf(part) : ''))
        .join('')
    const calls = parts.filter((part): part is Call => part.type === 'call' && !part.by)
    const content = text('text')
    const thought = asked.ask.wants.reasoning ? text('thought') : ''
    const refusal = text('refusal') || (why === 'refused' ? detail || REFUSED : '')
    const cited = citedIn(parts)
    const message = {
      role: 'assistant',
      content: content === '' ? null : content,
      ...(thought === '' ? {} : { reasoning_content: thought }),
      refusal: refusal === '' ? null : refusal,
      ...(cited.length > 0 ? { annotations: cited } : {}),
      ...(calls.length > 0 ? { tool_calls: calls.map(callOf) } : {}),
    }
    const bytes = content.length + thought.length + calls.reduce((sum, call) => sum + textOfPart(call)!.length, 0)
    return { said: { index, message, logprobs: null, finish_reason: reasons[why] }, bytes }
  }

function citedIn(parts: readonly Part[]): object[] {
  let at = 0
  return parts.flatMap(part => {
    if (part.type === 'media') at += imageOf(part).length
    if (part.type !== 'text') return []
    const from = at
    at += part.text.length
    return annotations(part.citations ?? [], from, at)
  })
}

function callOf(call: Call): object {
  const { id, name, input } = call
  return 'json' in input
    ? { id, type: 'function', function: { name, arguments: input.json } }
    : { id, type: 'custom', custom: { name, input: input.text } }
}

const imageOf = (part: Part & { type: 'media' }) =>
  part.kind === 'image' && 'base64' in part.at
    ? `![image](data:${part.mime ?? 'image/png'};base64,${part.at.base64})`
    : ''

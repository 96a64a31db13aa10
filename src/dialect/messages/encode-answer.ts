// An answer as a Messages client reads it (spec/wire.md §1.4): one open block at a time, and every field that typed clients want.
import { raw, writeExact } from '../json/exact.ts'
import type { Answer, Asked, Encoder } from '../middle/codec.ts'
import type { Citation, Event, Head, Json, Part, Seal, Tokens, Why } from '../middle/form.ts'
import { errorOf } from './fault.ts'
import { usageOf } from './tokens.ts'

const stops: Record<Why, string> = {
  end: 'end_turn',
  stopSequence: 'stop_sequence',
  length: 'max_tokens',
  contextFull: 'model_context_window_exceeded',
  calls: 'tool_use',
  paused: 'pause_turn',
  refused: 'refusal',
  safety: 'refusal',
  malformedCall: 'end_turn',
  other: 'end_turn',
}

// Of a text about so many characters are a token.
const CHARACTERS_OF_TOKEN = 4

const frame = (type: string, rest: string) => `event: ${type}\ndata: {"type":"${type}"${rest}}\n\n`
const member = (name: string, value: unknown) => `,"${name}":${writeExact(value)}`

/** What is told of an answer whose upstream counted nothing. */
const reckoned = (asked: Asked, characters: number): Tokens => ({
  input: asked.promptTokens,
  output: Math.ceil(characters / CHARACTERS_OF_TOKEN),
  cacheRead: 0,
  cacheWrite: {},
})

function message(asked: Asked, model: string, content: unknown[], end: object, usage: Tokens): object {
  return {
    id: asked.id('msg_'),
    type: 'message',
    role: 'assistant',
    model: asked.model || model,
    content,
    ...end,
    container: null,
    diagnostics: null,
    usage: usageOf(usage),
  }
}

const noEnd = { stop_reason: null, stop_sequence: null, stop_details: null }

function endOf(why: Why, stopSequence: string | undefined, detail: string | undefined, refused: boolean) {
  const stop_reason = refused && why === 'end' ? 'refusal' : stops[why]
  return {
    stop_reason,
    stop_sequence: stopSequence ?? null,
    stop_details: stop_reason === 'refusal' ? { type: 'refusal', category: null, explanation: detail ?? null } : null,
  }
}

function citationBlock({ url, title, quote, start, end }: Citation): object {
  if (url !== undefined)
    return {
      type: 'web_search_result_location',
      url,
      title: title ?? null,
      cited_text: quote ?? '',
      encrypted_index: '',
    }
  return {
    type: 'char_location',
    cited_text: quote ?? '',
    document_index: 0,
    document_title: title ?? null,
    start_char_index: start ?? 0,
    end_char_index: end ?? 0,
    file_id: null,
  }
}

interface Open {
  head: Head
  /** its block has begun; it does so with the first that there is to say */
  begun: boolean
  seal: Seal | undefined
}

export function streamEncoder(asked: Asked): Encoder {
  return new MessagesEncoder(asked)
}

class MessagesEncoder implements Encoder {
  readonly #asked: Asked
  #usage: Tokens | undefined
  #model = ''
  #open: Open | undefined
  /** blocks begun so far */
  #blocks = 0
  #characters = 0
  #refused = false
  /** a search of the web that has not been answered yet */
  #search: string | undefined

  constructor(asked: Asked) {
    this.#asked = asked
  }

  write(event: Event): string {
    switch (event.type) {
      case 'start':
        this.#usage = event.usage
        this.#model = event.model
        return this.#start()
      case 'open':
        return this.#opened(event)
      case 'delta':
        return this.#delta(event.text)
      case 'seal':
        if (this.#open) this.#open.seal = event.seal
        return ''
      case 'cite':
        return this.#cite(event.citation)
      case 'close':
        return this.#closed(event.part)
      case 'usage':
        this.#usage = event.usage
        return ''
      case 'idle':
        return frame('ping', '')
      case 'finish':
        return event.choice ? '' : this.#finish(event)
      case 'fail':
        return frame('error', member('error', errorOf(event.fault)))
      case 'opaque':
        return ''
    }
  }

  // Nobody knows yet what the prompt was, of some upstreams; a client that shows its context shows this until the end.
  #start(): string {
    const told = this.#usage ?? { ...reckoned(this.#asked, 0) }
    return frame('message_start', member('message', message(this.#asked, this.#model, [], noEnd, told)))
  }

  #opened({ part, choice }: Event & { type: 'open' }): string {
    if (choice) {
      this.#open = undefined
      return ''
    }
    this.#open = { head: part, begun: false, seal: undefined }
    const before = part.type === 'result' && part.callId === this.#search ? '' : this.#unanswered()
    if (part.type === 'refusal') this.#refused = true
    if (part.type !== 'call') return before
    if (!part.by)
      return before + this.#begin({ type: 'tool_use', id: part.id, name: part.name, input: {}, caller: direct })
    if (!isSearch(part.name)) return before
    this.#search = part.id
    return before + this.#begin({ type: 'server_tool_use', id: part.id, name: 'web_search', input: {}, caller: direct })
  }

  #delta(text: string): string {
    const { head } = this.#open ?? {}
    switch (head?.type) {
      case 'text':
      case 'refusal':
        return this.#spoken('text_delta', 'text', text, { type: 'text', text: '', citations: null })
      case 'thought':
        return head.redacted ? '' : this.#spoken('thinking_delta', 'thinking', text, emptyThought)
      case 'call':
        return this.#open!.begun ? this.#spoken('input_json_delta', 'partial_json', text, undefined) : ''
      default:
        return ''
    }
  }

  #spoken(type: string, name: string, text: string, block: object | undefined): string {
    this.#characters += text.length
    const before = this.#open!.begun || !block ? '' : this.#begin(block)
    return `${before}event: content_block_delta\ndata: {"type":"content_block_delta","index":${this.#blocks - 1},"delta":{"type":"${type}","${name}":${JSON.stringify(text)}}}\n\n`
  }

  #cite(citation: Citation): string {
    if (this.#open?.head.type !== 'text') return ''
    const before = this.#open.begun ? '' : this.#begin({ type: 'text', text: '', citations: null })
    return before + this.#change({ type: 'citations_delta', citation: citationBlock(citation) })
  }

  #closed(part: Part | undefined): string {
    const open = this.#open
    if (!open) return ''
    let out = part ? this.#whole(open, part) : ''
    this.#open = undefined
    const { head, seal } = open
    if (head.type === 'thought' && head.redacted)
      return seal ? this.#block({ type: 'redacted_thinking', data: this.#asked.seal(seal, '') }) : ''
    if (head.type === 'thought' && (open.begun || seal)) {
      if (!open.begun) out += this.#begin(emptyThought)
      // Also where the vendor gave no proof: what has none of ours could be taken for one of Anthropic's.
      out += this.#change({ type: 'signature_delta', signature: this.#asked.seal(seal, '') })
      open.begun = true
    }
    if (head.type === 'media') return this.#block({ type: 'text', text: DRAWN, citations: null })
    return open.begun ? out + frame('content_block_stop', member('index', this.#blocks - 1)) : out
  }

  /** What an upstream told only as a whole. */
  #whole({ head }: Open, part: Part): string {
    if (part.type === 'text' || part.type === 'refusal' || part.type === 'thought')
      return part.text === '' ? '' : this.#delta(part.text)
    if (part.type === 'call') {
      const text = 'json' in part.input ? part.input.json : part.input.text
      return text === '' || text === '{}' ? '' : this.#delta(text)
    }
    if (part.type !== 'result' || head.type !== 'result' || head.callId !== this.#search) return ''
    return this.#unanswered()
  }

  /** A search and what it found are two blocks, and a client that brings back the one without the other is refused. */
  #unanswered(): string {
    const id = this.#search
    if (id === undefined) return ''
    this.#search = undefined
    const open = this.#open
    this.#open = undefined
    const said = this.#block({ type: 'web_search_tool_result', tool_use_id: id, content: [], caller: direct })
    this.#open = open
    return said
  }

  #begin(block: object): string {
    if (this.#open) this.#open.begun = true
    return frame('content_block_start', member('index', this.#blocks++) + member('content_block', block))
  }

  #change(delta: object): string {
    return frame('content_block_delta', member('index', this.#blocks - 1) + member('delta', delta))
  }

  #block(block: object): string {
    return this.#begin(block) + frame('content_block_stop', member('index', this.#blocks - 1))
  }

  #finish({ why, stopSequence, detail }: Event & { type: 'finish' }): string {
    const end = endOf(why, stopSequence, detail, this.#refused)
    const usage = usageOf(this.#usage ?? reckoned(this.#asked, this.#characters))
    return (
      this.#unanswered() +
      frame('message_delta', member('delta', { ...end, container: null }) + member('usage', usage)) +
      frame('message_stop', '')
    )
  }
}

const direct = { type: 'direct' }
const emptyThought = { type: 'thinking', thinking: '', signature: '' }
const DRAWN = '[The model drew something, which cannot be shown in this dialect.]'
const isSearch = (name: string) => /^web_?search/i.test(name)

export function encodeWhole({ choices, usage }: Answer, asked: Asked): string {
  const [choice] = choices
  const parts = choice?.parts ?? []
  const content = parts.flatMap(part => blocksOf(part, asked))
  const refused = parts.some(({ type }) => type === 'refusal')
  const characters = parts.reduce((sum, part) => sum + ('text' in part ? part.text.length : 0), 0)
  const end = choice ? endOf(choice.why, choice.stopSequence, choice.detail, refused) : noEnd
  return writeExact(message(asked, '', content, end, usage ?? reckoned(asked, characters)))
}

function blocksOf(part: Part, asked: Asked): object[] {
  switch (part.type) {
    case 'text': {
      if (part.text === '') return []
      const cited = part.citations?.map(citationBlock)
      return [{ type: 'text', text: part.text, citations: cited ?? null }]
    }
    case 'refusal':
      return part.text === '' ? [] : [{ type: 'text', text: part.text, citations: null }]
    case 'thought':
      if (part.redacted) return part.seal ? [{ type: 'redacted_thinking', data: asked.seal(part.seal, '') }] : []
      if (part.text === '' && !part.seal) return []
      return [{ type: 'thinking', thinking: part.text, signature: asked.seal(part.seal, '') }]
    case 'call': {
      const input = raw(inputOf(part.input))
      if (!part.by) return [{ type: 'tool_use', id: part.id, name: part.name, input, caller: direct }]
      if (!isSearch(part.name)) return []
      return [
        { type: 'server_tool_use', id: part.id, name: 'web_search', input, caller: direct },
        { type: 'web_search_tool_result', tool_use_id: part.id, content: [], caller: direct },
      ]
    }
    case 'media':
      return [{ type: 'text', text: DRAWN, citations: null }]
    default:
      return []
  }
}

/** An input must be an object there. One that was cut is kept as the text that it is: nobody should run what the model did not say. */
function inputOf(input: { json: Json } | { text: string }): string {
  if ('text' in input) return JSON.stringify({ input: input.text })
  try {
    if (input.json.trimStart().startsWith('{') && JSON.parse(input.json)) return input.json
  } catch {
    // Cut.
  }
  return input.json.trim() === '' ? '{}' : JSON.stringify({ _raw: input.json })
}

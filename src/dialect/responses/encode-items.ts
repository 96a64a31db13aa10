// A conversation as the items of a Responses request.
import type { Call, Json, Media, Part, Result, Seal, Text, Thought, Turn } from '../middle/form.ts'
import { mimeOf } from '../middle/media.ts'
import { isGoodFor } from '../middle/seal.ts'
import { repaired } from '../middle/turns.ts'
import type { Encoding } from '../openai-asking.ts'
import { isNative } from './encode-tools.ts'

type Item = Record<string, unknown>

/** As many writes as the vendor makes for one request. */
const MOST_BREAKPOINTS = 4

/** `instructions` and `input`. */
export function encodeConversation(encoding: Encoding): { instructions?: string; input: Item[] } {
  return new Items(encoding).all()
}

class Items {
  readonly #by: Encoding
  readonly #input: Item[] = []
  #said: (id: string) => string = id => id
  /** how many breakpoints are still to come before those that count: the last ones do */
  #tooMany = 0
  /** names of tools that stay freeform here */
  readonly #custom = new Set<string>()
  /** ids of calls of such */
  readonly #customIds = new Set<string>()
  /** what a vendor ran, by the id of the call */
  readonly #ran = new Map<string, string>()

  constructor(by: Encoding) {
    this.#by = by
    for (const tool of by.ask.tools) if (isNative(tool) !== false) this.#custom.add(by.names.of(tool))
  }

  all(): { instructions?: string; input: Item[] } {
    const { ask } = this.#by
    const { turns, said } = repaired(ask.turns, { legal: 'a-zA-Z0-9_-', max: 64, prefix: 'call_', merge: [] })
    this.#said = said
    const marks = [...ask.system, ...turns.flatMap(({ parts }) => parts)].filter(part => part.cache).length
    this.#tooMany = marks - MOST_BREAKPOINTS
    // Tools stand before all that is said: a breakpoint behind them has them, too.
    if (marks === 0 || !this.#breaks) for (const tool of ask.tools) this.#unmarked(tool)
    const system = ask.system.filter(({ text }) => text.trim() !== '')
    // Instructions are one text, and a text has no end in the middle.
    const apart = this.#breaks && system.some(part => part.cache)
    if (apart) this.#message(this.#authority, system)
    // Whoever says only what is to be done wants it done: the vendor takes no request without input.
    if (turns.length === 0 && !apart) this.#message('user', system.splice(0))
    for (const turn of turns) this.#turn(turn)
    const instructions = system.map(({ text }) => text).join('\n\n')
    if (!apart) for (const part of system) this.#mark(part)
    return { ...(apart || instructions === '' ? {} : { instructions }), input: this.#input }
  }

  get #breaks(): boolean {
    return this.#by.target.facts.cacheTtls.length > 0
  }

  /** Who speaks for those that set the rules. */
  get #authority(): string {
    return this.#by.target.facts.developer ? 'developer' : 'system'
  }

  #turn(turn: Turn): void {
    const { facts } = this.#by.target
    switch (turn.role) {
      case 'user':
        this.#user(turn.parts)
        return
      case 'system':
        if (facts.developer || facts.midSystem) this.#message(this.#authority, turn.parts)
        else this.#message('user', turn.parts.map(reminding))
        return
      case 'assistant':
        this.#assistant(turn)
    }
  }

  #user(parts: readonly Part[]): void {
    let said: Part[] = []
    for (const part of parts) {
      if (part.type !== 'result') {
        said.push(part)
        continue
      }
      this.#message('user', said)
      said = []
      if (part.by) this.#message('user', [{ type: 'text', text: this.#serverResult(part) }])
      else this.#result(part)
    }
    this.#message('user', said)
  }

  #message(role: string, parts: readonly Part[]): void {
    const content = parts.flatMap(part => this.#spoken(part))
    if (content.length > 0) this.#input.push({ type: 'message', role, content })
  }

  // ---- what is said to the model ----

  #spoken(part: Part): Item[] {
    switch (part.type) {
      case 'text':
        return [{ type: 'input_text', text: part.text, ...this.#mark(part) }]
      case 'refusal':
        return [{ type: 'input_text', text: part.text }]
      case 'media':
        return this.#media(part)
      case 'opaque':
        this.#dropped(part.kind)
        return []
      default:
        return []
    }
  }

  #media(part: Media): Item[] {
    const mark = this.#mark(part)
    const { kind, at, mime, title, detail } = part
    if ('text' in at) return [{ type: 'input_text', text: title ? `${title}:\n\n${at.text}` : at.text, ...mark }]
    // A file of another vendor was refused before.
    if ('file' in at) return []
    if (kind === 'image') {
      const image_url = 'url' in at ? at.url : `data:${mimeOf(part, at.base64)};base64,${at.base64}`
      return [{ type: 'input_image', image_url, detail: detail ?? 'auto', ...mark }]
    }
    if (kind === 'document') {
      if ('url' in at) return [{ type: 'input_file', file_url: at.url, ...mark }]
      const type = mime ?? 'application/pdf'
      const filename = title ?? `document.${type.split('/')[1]?.replace(/[^a-z0-9]/gi, '') ?? 'pdf'}`
      return [{ type: 'input_file', filename, file_data: `data:${type};base64,${at.base64}`, ...mark }]
    }
    if (kind === 'audio' && 'base64' in at) {
      const format = /wav/.test(mime ?? '') ? 'wav' : 'mp3'
      return [{ type: 'input_audio', input_audio: { data: at.base64, format } }]
    }
    return this.#by.notes.refuse(`${this.#by.fields.history}.${kind}`, 'this model cannot be given any')
  }

  /** The breakpoint that ends here. */
  #mark({ cache }: { cache?: Part['cache'] }): Item {
    if (!cache) return {}
    const { notes, fields, target } = this.#by
    if (!this.#breaks || this.#tooMany > 0) {
      this.#tooMany--
      notes.drop(fields.cache)
      return {}
    }
    const ttl = target.facts.cacheTtls.includes(cache) ? cache : undefined
    return { prompt_cache_breakpoint: { mode: 'explicit', ttl } }
  }

  #unmarked({ cache }: { cache?: Part['cache'] }): void {
    if (cache) this.#by.notes.drop(this.#by.fields.cache)
  }

  #dropped(kind: string): void {
    this.#by.notes.drop(`${this.#by.fields.history}.${kind}`)
  }

  // ---- results ----

  #result(result: Result): void {
    const { callId, parts, error } = result
    const type = this.#customIds.has(callId) ? 'custom_tool_call_output' : 'function_call_output'
    const told: Result['parts'] = error ? [{ type: 'text', text: 'Error:' }, ...parts] : parts
    const plain = told.every(part => part.type === 'text' || (part.type === 'opaque' && part.kind === 'object'))
    const breaks = (result.cache ?? parts.find(part => part.cache)) !== undefined && this.#breaks
    if (plain && !breaks) {
      if (result.cache) this.#mark(result)
      for (const part of parts) this.#mark(part)
      this.#input.push({ type, call_id: callId, output: told.map(textOf).join(error ? ' ' : '\n') })
      return
    }
    const output = told.flatMap(part =>
      part.type === 'opaque' && part.kind === 'object' ? [{ type: 'input_text', text: part.json }] : this.#spoken(part),
    )
    if (output.length === 0) output.push({ type: 'input_text', text: '' })
    if (result.cache) Object.assign(output.at(-1)!, this.#mark(result))
    this.#input.push({ type, call_id: callId, output })
  }

  // A search in a history that does not declare one is refused.
  #serverResult(result: Result): string {
    const { callId, parts } = result
    const name = result.name ?? this.#ran.get(callId)
    this.#by.notes.change(`${this.#by.fields.history}.${name ?? 'server_tool_result'}`)
    const said = parts.map(textOf).filter(text => text !== '')
    return `Result${name ? ` of ${name}` : ''}:\n${said.join('\n') || 'nothing'}`
  }

  // ---- what the model said ----

  #assistant({ parts, phase }: Turn): void {
    let said: Item[] = []
    let proven = false
    const lastCall = parts.findLastIndex(part => part.type === 'call')
    const flush = (at: number) => {
      if (said.length === 0) return
      const says = at <= lastCall ? 'commentary' : phase === 'commentary' ? phase : 'final_answer'
      const told = this.#by.target.facts.phases ? { phase: says } : {}
      this.#input.push({ type: 'message', role: 'assistant', content: said, ...told })
      said = []
    }
    for (const [at, part] of parts.entries()) {
      switch (part.type) {
        case 'text':
          this.#mark(part)
          said.push({ type: 'output_text', text: part.text })
          break
        case 'refusal':
          said.push({ type: 'refusal', refusal: part.text })
          break
        case 'thought':
          flush(at)
          proven = this.#thought(part) || proven
          break
        case 'call':
          if (part.by) {
            said.push({ type: 'output_text', text: this.#serverCall(part) })
            break
          }
          flush(at)
          if (!proven) this.#kept(part)
          this.#call(part)
          break
        case 'result':
          said.push({ type: 'output_text', text: this.#serverResult(part) })
          break
        case 'media':
          this.#dropped(part.kind)
          break
        case 'opaque':
          this.#dropped(part.kind)
      }
    }
    flush(parts.length)
  }

  /** Whether it may be told: its proof is this vendor's, and for this account. */
  #isGood(seal: Seal | undefined): seal is Seal {
    const { target, ask } = this.#by
    if (!seal || seal.value === '' || !target.seals) return false
    // What looks native in another dialect is another vendor's.
    return seal.issuer ? isGoodFor(seal, target.issuer) : ask.dialect === 'responses'
  }

  #thought({ text, seal }: Thought): boolean {
    const good = this.#isGood(seal)
    if (good) this.#reasoning(text, seal!.value)
    else this.#by.notes.drop(this.#by.fields.thought)
    return good
  }

  // For clients that have no place for it.
  #kept({ id }: Call): void {
    const kept = this.#by.target.kept(this.#said(id))
    if (kept && this.#isGood(kept.seal)) this.#reasoning(kept.text, kept.seal.value)
  }

  // Without an id: the vendor stored nothing under it.
  #reasoning(text: string, proof: string): void {
    const summary = text === '' ? [] : [{ type: 'summary_text', text }]
    this.#input.push({ type: 'reasoning', summary, encrypted_content: proof })
  }

  #call(call: Call): void {
    const { id, input } = call
    if (call.cache) this.#mark({ cache: call.cache })
    const name = this.#by.names.of(call)
    if ('text' in input && this.#custom.has(name)) {
      this.#customIds.add(id)
      this.#input.push({ type: 'custom_tool_call', call_id: id, name, input: input.text })
      return
    }
    const json: Json | string = 'json' in input ? input.json : JSON.stringify({ input: input.text })
    this.#input.push({ type: 'function_call', call_id: id, name, arguments: json })
  }

  #serverCall({ id, name, input }: Call): string {
    this.#ran.set(id, name)
    this.#by.notes.change(`${this.#by.fields.history}.${name}`)
    return `Called ${name}: ${'json' in input ? input.json : input.text}`
  }
}

const textOf = (part: Text | Media | Part): string =>
  part.type === 'text' ? part.text : part.type === 'opaque' ? part.json : ''

const reminding = (part: Part): Part =>
  part.type === 'text' ? { ...part, text: `<system-reminder>\n${part.text}\n</system-reminder>` } : part

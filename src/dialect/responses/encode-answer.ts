// An answer as a client of the Responses dialect reads it: items in the order in which they come, each opened, filled and closed. It is long, because it is one story of states.
import type { Asked, Encoder } from '../middle/codec.ts'
import type { Citation, Event, Fault, Head, Part, Seal, Tokens } from '../middle/form.ts'
import { REDACTED } from '../middle/seal.ts'
import { openAiErrorOf, REFUSED } from '../openai-faults.ts'
import { failedFrame } from './failed.ts'
import type { Fields } from './raw.ts'
import { incomplete, isJson, queryIn, responseOf } from './response.ts'

/** An item that is not done: its place among the others, and what fills it. */
interface Item {
  at: number
  fields: Fields
}

/** The part that is open: of a message, or all of an item. */
interface Open {
  head: Head
  text: string
  seal: Seal | undefined
  citations: Fields[]
  /** of a message: which of its parts; of reasoning: whether its summary was opened */
  nth: number
}

export class ResponseEncoder implements Encoder {
  readonly #asked: Asked
  readonly #streams: boolean
  #out = ''
  #sequence = 0
  #id = ''
  #model = ''
  #usage: Tokens | undefined
  #over = false
  #refused = false
  readonly #output: Fields[] = []
  /** the message that takes further parts */
  #message: Item | undefined
  /** a call that was cut off, perhaps: only the end of the answer tells */
  #cut: Item | undefined
  #item: Item | undefined
  #open: Open | undefined

  /** @param streams false: nothing is written but the whole at the end */
  constructor(asked: Asked, streams = true) {
    this.#asked = asked
    this.#streams = streams
  }

  write(event: Event): string {
    this.#out = ''
    if (!this.#over) this.#take(event)
    return this.#out
  }

  #take(event: Event): void {
    if ('choice' in event && (event.choice ?? 0) > 0) return
    switch (event.type) {
      case 'start':
        this.#start(event)
        return
      case 'open':
        this.#opened(event.part)
        return
      case 'delta':
        this.#delta(event.text)
        return
      case 'seal':
        if (this.#open) this.#open.seal = event.seal
        return
      case 'cite':
        this.#cite(event.citation)
        return
      case 'close':
        this.#closed(event.part)
        return
      case 'usage':
        this.#usage = event.usage
        return
      case 'idle':
        if (this.#streams) this.#out += ': keep-alive\n\n'
        return
      case 'finish':
        this.#finish(event)
        return
      case 'fail':
        this.#fail(event.fault)
    }
  }

  /** The whole answer, so far as it came. */
  response(status: string, more: Fields = {}): Fields {
    const output = status === 'in_progress' ? [] : this.#output
    const usage = status === 'in_progress' ? undefined : this.#usage
    const { model } = this.#asked
    return responseOf(this.#asked, { id: this.#id, model: model || this.#model, status, output, usage, ...more })
  }

  #start({ id, model, usage }: Event & { type: 'start' }): void {
    if (this.#id !== '') return
    this.#id = id.startsWith('resp_') ? id : this.#asked.id('resp_')
    this.#model = model
    this.#usage = usage
    const response = this.response('in_progress')
    this.#say('response.created', { response })
    this.#say('response.in_progress', { response })
  }

  // ---- parts ----

  #opened(head: Head): void {
    this.#uncut()
    const open: Open = { head, text: '', seal: undefined, citations: [], nth: -1 }
    this.#open = open
    if (head.type === 'text' || head.type === 'refusal') {
      this.#inMessage(head, open)
      return
    }
    this.#endMessage('completed')
    switch (head.type) {
      case 'thought':
        this.#add({ id: this.#asked.id('rs_'), type: 'reasoning', summary: [] })
        return
      case 'call':
        if (!head.by) this.#call(head)
    }
  }

  #inMessage(head: Head & { type: 'text' | 'refusal' }, open: Open): void {
    if (head.type === 'refusal') this.#refused = true
    const phase = head.phase === 'final' ? 'final_answer' : head.phase
    if (this.#message && phase && this.#message.fields['phase'] !== phase) this.#endMessage('completed')
    if (!this.#message) {
      const fields = {
        id: this.#asked.id('msg_'),
        type: 'message',
        status: 'in_progress',
        role: 'assistant',
        content: [],
      }
      this.#message = this.#add(phase ? { ...fields, phase } : fields)
    }
    this.#item = this.#message
    open.nth = (this.#message.fields['content'] as unknown[]).length
    this.#sayIn('response.content_part.added', { content_index: open.nth, part: this.#partOf(open, '') })
  }

  #call(head: Head & { type: 'call' }): void {
    const named = { call_id: head.id, name: head.name, ...(head.namespace ? { namespace: head.namespace } : {}) }
    if (head.freeform)
      this.#add({ id: this.#asked.id('ctc_'), type: 'custom_tool_call', status: 'in_progress', ...named, input: '' })
    else this.#add({ id: this.#asked.id('fc_'), type: 'function_call', status: 'in_progress', ...named, arguments: '' })
  }

  #delta(text: string): void {
    const open = this.#open
    if (!open || text === '') return
    open.text += text
    switch (open.head.type) {
      case 'text':
        this.#sayDelta('response.output_text.delta', `"content_index":${open.nth},`, text, ',"logprobs":[]')
        return
      case 'refusal':
        this.#sayDelta('response.refusal.delta', `"content_index":${open.nth},`, text)
        return
      case 'thought':
        // Who did not ask for a summary has it in the proof alone.
        if (!this.#shows) return
        if (open.nth === -1) {
          open.nth = 0
          this.#sayIn('response.reasoning_summary_part.added', {
            summary_index: 0,
            part: { type: 'summary_text', text: '' },
          })
        }
        this.#sayDelta('response.reasoning_summary_text.delta', '"summary_index":0,', text)
        return
      case 'call':
        if (open.head.by) return
        if (open.head.freeform) this.#sayDelta('response.custom_tool_call_input.delta', '', text)
        else this.#sayDelta('response.function_call_arguments.delta', '', text)
    }
  }

  #cite({ kind, url, title, start, end }: Citation): void {
    const open = this.#open
    if (open?.head.type !== 'text' || kind !== 'url' || !url) return
    const annotation = {
      type: 'url_citation',
      url,
      title: title ?? url,
      start_index: start ?? 0,
      end_index: end ?? [...open.text].length,
    }
    const annotation_index = open.citations.push(annotation) - 1
    this.#sayIn('response.output_text.annotation.added', { content_index: open.nth, annotation_index, annotation })
  }

  #closed(part: Part | undefined): void {
    const open = this.#open
    if (!open) return
    if (part && open.text === '') this.#whole(part)
    this.#open = undefined
    switch (open.head.type) {
      case 'text':
      case 'refusal':
        this.#endPart(open)
        return
      case 'thought':
        this.#endThought(open)
        return
      case 'call':
        if (open.head.by) this.#ranThere(open.head.name, open.text)
        else this.#endCall(open)
        return
      case 'media':
        if (open.head.kind === 'image')
          this.#finished({
            id: this.#asked.id('ig_'),
            type: 'image_generation_call',
            status: 'completed',
            result: open.text,
          })
        return
      case 'opaque':
        if (open.head.dialect === 'responses' && open.text !== '') this.#finished(JSON.parse(open.text) as Fields)
    }
  }

  /** What the upstream says the part is, where it said it all at once. */
  #whole(part: Part): void {
    switch (part.type) {
      case 'text':
        this.#delta(part.text)
        for (const citation of part.citations ?? []) this.#cite(citation)
        return
      case 'refusal':
      case 'thought':
        this.#delta(part.text)
        if ('seal' in part && part.seal && this.#open) this.#open.seal ??= part.seal
        return
      case 'call':
        this.#delta('json' in part.input ? part.input.json : part.input.text)
        return
      case 'media':
        if ('base64' in part.at) this.#open!.text = part.at.base64
        return
      case 'opaque':
        this.#open!.text = part.json
    }
  }

  #endPart(open: Open): void {
    const part = this.#partOf(open, open.text)
    const at = { content_index: open.nth }
    if (open.head.type === 'text') this.#sayIn('response.output_text.done', { ...at, text: open.text, logprobs: [] })
    else this.#sayIn('response.refusal.done', { ...at, refusal: open.text })
    this.#sayIn('response.content_part.done', { ...at, part })
    ;(this.#message!.fields['content'] as unknown[]).push(part)
  }

  #partOf({ head, citations }: Open, text: string): Fields {
    return head.type === 'refusal'
      ? { type: 'refusal', refusal: text }
      : { type: 'output_text', text, annotations: [...citations], logprobs: [] }
  }

  #endThought({ head, text, nth, seal }: Open): void {
    const fields = this.#item!.fields
    if (nth === 0) {
      const part = { type: 'summary_text', text }
      this.#sayIn('response.reasoning_summary_text.done', { summary_index: 0, text })
      this.#sayIn('response.reasoning_summary_part.done', { summary_index: 0, part })
      fields['summary'] = [part]
    }
    const proof = this.#asked.seal(seal, text, head.type === 'thought' && head.redacted ? REDACTED : '')
    if (proof !== '') fields['encrypted_content'] = proof
    this.#done(this.#item!)
  }

  #endCall(open: Open): void {
    const item = this.#item!
    const { freeform, name } = open.head as Head & { type: 'call' }
    if (freeform) {
      item.fields['input'] = open.text
      this.#sayIn('response.custom_tool_call_input.done', { input: open.text })
    } else {
      // Clients parse it.
      if (open.text.trim() === '') {
        this.#open = open
        this.#delta('{}')
        this.#open = undefined
      }
      item.fields['arguments'] = open.text
      this.#sayIn('response.function_call_arguments.done', { name, arguments: open.text })
      if (!isJson(open.text)) {
        this.#cut = item
        return
      }
    }
    item.fields['status'] = 'completed'
    this.#done(item)
  }

  // Of what the vendor ran only a search has a twin here.
  #ranThere(name: string, input: string): void {
    if (!/^web_?search/i.test(name)) return
    const query = queryIn(input)
    this.#finished({
      id: this.#asked.id('ws_'),
      type: 'web_search_call',
      status: 'completed',
      action: { type: 'search', query },
    })
  }

  // ---- items ----

  #add(fields: Fields): Item {
    const item = { at: this.#output.length, fields }
    this.#output.push(fields)
    this.#item = item
    if (this.#streams) this.#say('response.output_item.added', { output_index: item.at, item: { ...fields } })
    return item
  }

  #done(item: Item): void {
    this.#say('response.output_item.done', { output_index: item.at, item: item.fields })
  }

  /** An item that was whole when it came. */
  #finished(fields: Fields): void {
    this.#done(this.#add(fields))
  }

  #endMessage(status: string): void {
    const message = this.#message
    if (!message) return
    this.#message = undefined
    message.fields['status'] = status
    this.#done(message)
  }

  #uncut(status = 'completed'): void {
    const item = this.#cut
    if (!item) return
    this.#cut = undefined
    item.fields['status'] = status
    this.#done(item)
  }

  // ---- the end ----

  #finish({ why, detail }: Event & { type: 'finish' }): void {
    // Without words it would look like a good answer with nothing in it.
    if (why === 'refused' && !this.#refused) {
      this.#opened({ type: 'refusal' })
      this.#delta(detail || REFUSED)
      this.#closed(undefined)
    }
    const reason = incomplete[why]
    const status = reason ? 'incomplete' : 'completed'
    this.#uncut(status)
    this.#endMessage(status)
    this.#over = true
    this.#say(`response.${status}`, {
      response: this.response(status, reason ? { incomplete_details: { reason } } : {}),
    })
  }

  #fail(fault: Fault): void {
    this.#over = true
    if (!this.#streams) return
    const error = openAiErrorOf(fault)
    this.#id ||= this.#asked.id('resp_')
    const response = this.response('failed', {
      error: { code: error.code ?? 'server_error', message: error.message },
    })
    this.#out += failedFrame(error, response, this.#sequence)
  }

  get #shows(): boolean {
    return this.#asked.ask.wants.reasoning
  }

  /** An event about the item that is under way. */
  #sayIn(type: string, fields: Fields): void {
    if (!this.#streams) return
    const { at, fields: item } = this.#item!
    this.#say(type, { item_id: item['id'], output_index: at, ...fields })
  }

  // By hand: nearly all of a stream is deltas.
  #sayDelta(type: string, where: string, delta: string, rest = ''): void {
    if (!this.#streams) return
    const { at, fields } = this.#item!
    this.#out += `event: ${type}\ndata: {"type":"${type}","sequence_number":${this.#sequence++},"item_id":"${fields['id']}","output_index":${at},${where}"delta":${JSON.stringify(delta)}${rest}}\n\n`
  }

  #say(type: string, fields: Fields): void {
    if (!this.#streams) return
    this.#out += `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: this.#sequence++, ...fields })}\n\n`
  }
}

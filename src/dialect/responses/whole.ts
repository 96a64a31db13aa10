// A whole response as the stream that it would have been, and the other way round; what is not known here goes over as it stands.
import type { Gatherer } from '../dialect.ts'
import { writeExact } from '../json/exact.ts'
import { isNamed } from '../meter.ts'
import { SseCutter } from '../sse.ts'
import { exactly, type Fields } from './raw.ts'

/** The frames of a response; undefined for what is none. */
export function asStream(body: Buffer): Buffer | undefined {
  const response = exactly(body.toString('utf8'))
  const output = response?.['output']
  if (!response || !Array.isArray(output)) return undefined
  const stream = new Frames()
  const begun = { ...response, status: 'in_progress', output: [], usage: null, incomplete_details: null }
  stream.say('response.created', { response: begun })
  stream.say('response.in_progress', { response: begun })
  for (const [at, item] of output.entries()) if (isNamed(item)) stream.item(at, item as Fields)
  const status =
    response['status'] === 'incomplete' || response['status'] === 'failed' ? response['status'] : 'completed'
  stream.say(`response.${status}`, { response })
  return Buffer.from(stream.text)
}

class Frames {
  text = ''
  #sequence = 0

  say(type: string, fields: Fields): void {
    this.text += `event: ${type}\ndata: ${writeExact({ type, sequence_number: this.#sequence++, ...fields })}\n\n`
  }

  item(at: number, item: Fields): void {
    const here = { item_id: item['id'], output_index: at }
    const added = (empty: Fields) =>
      this.say('response.output_item.added', { output_index: at, item: { ...item, ...empty } })
    switch (item['type']) {
      case 'message':
        added({ status: 'in_progress', content: [] })
        for (const [nth, part] of list(item['content']).entries()) this.#part({ ...here, content_index: nth }, part)
        break
      case 'reasoning':
        added({ summary: [] })
        for (const [nth, part] of list(item['summary']).entries()) this.#summary({ ...here, summary_index: nth }, part)
        break
      case 'function_call':
        added({ status: 'in_progress', arguments: '' })
        this.say('response.function_call_arguments.delta', { ...here, delta: item['arguments'] })
        this.say('response.function_call_arguments.done', { ...here, name: item['name'], arguments: item['arguments'] })
        break
      case 'custom_tool_call':
        added({ input: '' })
        this.say('response.custom_tool_call_input.delta', { ...here, delta: item['input'] })
        this.say('response.custom_tool_call_input.done', { ...here, input: item['input'] })
        break
      default:
        added({})
    }
    this.say('response.output_item.done', { output_index: at, item })
  }

  #part(here: Fields, part: Fields): void {
    const name = part['type'] === 'refusal' ? 'refusal' : 'text'
    const kind = name === 'refusal' ? 'response.refusal' : 'response.output_text'
    const notes = list(part['annotations'])
    const empty = { ...part, [name]: '', ...('annotations' in part ? { annotations: [] } : {}) }
    this.say('response.content_part.added', { ...here, part: empty })
    this.say(`${kind}.delta`, { ...here, delta: part[name], ...(name === 'text' ? { logprobs: [] } : {}) })
    for (const [nth, annotation] of notes.entries())
      this.say('response.output_text.annotation.added', { ...here, annotation_index: nth, annotation })
    this.say(`${kind}.done`, { ...here, [name]: part[name], ...(name === 'text' ? { logprobs: [] } : {}) })
    this.say('response.content_part.done', { ...here, part })
  }

  #summary(here: Fields, part: Fields): void {
    this.say('response.reasoning_summary_part.added', { ...here, part: { ...part, text: '' } })
    this.say('response.reasoning_summary_text.delta', { ...here, delta: part['text'] })
    this.say('response.reasoning_summary_text.done', { ...here, text: part['text'] })
    this.say('response.reasoning_summary_part.done', { ...here, part })
  }
}

const list = (value: unknown) => (Array.isArray(value) ? value : []).filter(isNamed) as Fields[]

// As large as a whole answer may be that is held back until it is known to be good.
const MOST_BYTES = 32 * 1024 * 1024

const done = 'response.output_item.done'
const ends = new Set(['response.completed', 'response.incomplete'])

/** Puts a stream together: its last event has all of it, but for servers that leave the output out. */
export class ResponseGatherer implements Gatherer {
  #response: Fields | undefined
  #bytes = 0
  readonly #items = new Map<number, unknown>()
  readonly #cutter = new SseCutter({
    wants: (name, head) => {
      const said = head.toString('latin1', 0, 128)
      return [done, ...ends].some(type => name === type || said.includes(`"${type}"`))
    },
    event: (_, data, wanted, bytes) => {
      this.#bytes += bytes
      if (wanted && this.#bytes <= MOST_BYTES) this.#take(exactly(data) ?? {})
    },
  })

  push(chunk: Buffer): void {
    this.#cutter.push(chunk)
  }

  end(): Buffer | undefined {
    this.#cutter.end()
    const response = this.#response
    if (!response || this.#bytes > MOST_BYTES) return undefined
    const told = response['output']
    if (Array.isArray(told) && told.length > 0) return Buffer.from(writeExact(response))
    const output = [...this.#items].sort(([a], [b]) => a - b).map(([, item]) => item)
    return Buffer.from(writeExact({ ...response, output }))
  }

  #take({ type, output_index, item, response }: Fields): void {
    if (type === done) this.#items.set(typeof output_index === 'number' ? output_index : this.#items.size, item)
    else if (ends.has(String(type)) && isNamed(response)) this.#response = response as Fields
  }
}

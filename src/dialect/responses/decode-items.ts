// The items of a Responses request as turns of a conversation.
import type { Held, Json, Media, Opaque, Part, Result, Text, Thought, Tool, Turn } from '../middle/form.ts'
import { type Fields, fieldsIn, isFields, listIn, textIn, wordOf, words, wrong } from '../middle/read.ts'
import { disclose, isOurs, REDACTED } from '../middle/seal.ts'
import { summarize, summaryIn } from './compacting.ts'
import { cacheTtl, toolsOf } from './decode-tools.ts'
import { exactFields } from './own.ts'

const roles = words<Turn['role']>({
  user: 'user',
  assistant: 'assistant',
  system: 'system',
  developer: 'system',
})
const phases = words<Turn['phase']>({ commentary: 'commentary', final_answer: 'final' })

// What a client's own tools are called by that the vendor has taught its models: calls of them like any other.
const callOf = words<readonly [name: string, input: string]>({
  local_shell_call: ['local_shell', 'action'],
  shell_call: ['shell', 'action'],
  apply_patch_call: ['apply_patch', 'operation'],
})
const outputs = new Set([
  'function_call_output',
  'custom_tool_call_output',
  'local_shell_call_output',
  'shell_call_output',
  'apply_patch_call_output',
])

export class Conversation {
  readonly turns: Turn[] = []
  /** those that came as an item */
  readonly tools: Tool[] = []
  /** it ends in a wish for a compaction */
  compacts = false
  readonly #held: Held[]

  /** @param held takes what lives upstream */
  constructor(held: Held[]) {
    this.#held = held
  }

  /** @throws Failure BODY_INVALID */
  take(input: unknown): void {
    if (input === undefined || input === null) return
    if (typeof input === 'string') {
      this.#add('user', [{ type: 'text', text: input }])
      return
    }
    for (const [n, item] of (listIn(input, 'input') ?? []).entries())
      this.#item(fieldsIn(item, `input.${n}`) ?? wrong(`input.${n}`, 'an object'), `input.${n}`)
  }

  #item(item: Fields, at: string): void {
    const type = item['type'] ?? (item['role'] === undefined ? '' : 'message')
    switch (type) {
      case 'message':
        this.#message(item, at)
        return
      case 'function_call': {
        const { call_id, name, namespace, arguments: said } = item
        const space = textIn(namespace, `${at}.namespace`)
        const text = textIn(said, `${at}.arguments`) ?? ''
        this.#add('assistant', [
          {
            type: 'call',
            id: textIn(call_id, `${at}.call_id`) ?? '',
            name: textIn(name, `${at}.name`) ?? wrong(`${at}.name`, 'there'),
            ...(space ? { namespace: space } : {}),
            input: { json: (text.trim() === '' ? '{}' : text) as Json },
          },
        ])
        return
      }
      case 'custom_tool_call': {
        const { call_id, name, namespace, input } = item
        const space = textIn(namespace, `${at}.namespace`)
        this.#add('assistant', [
          {
            type: 'call',
            id: textIn(call_id, `${at}.call_id`) ?? '',
            name: textIn(name, `${at}.name`) ?? wrong(`${at}.name`, 'there'),
            ...(space ? { namespace: space } : {}),
            input: { text: textIn(input, `${at}.input`) ?? '' },
          },
        ])
        return
      }
      case 'reasoning':
        this.#add('assistant', [thoughtOf(item, at)])
        return
      case 'additional_tools':
        for (const [n, tool] of (listIn(item['tools'], `${at}.tools`) ?? []).entries())
          this.tools.push(...toolsOf(tool, `${at}.tools.${n}`))
        return
      case 'compaction_trigger':
        this.compacts = true
        this.#add('user', [{ type: 'text', text: summarize }])
        return
      case 'compaction': {
        const text = summaryIn(item['encrypted_content'])
        if (text === undefined) this.#other('compaction', item, at)
        else this.#add('user', [{ type: 'text', text }])
        return
      }
      case 'item_reference':
        this.#held.push({ what: 'item', param: 'input.item_reference', id: wordOf(item['id']) })
        return
      default:
        this.#other(wordOf(type), item, at)
    }
  }

  #other(type: string, item: Fields, at: string): void {
    const call = callOf[type]
    if (call) {
      const id = textIn(item['call_id'] ?? item['id'], `${at}.call_id`) ?? ''
      const json = exactFields(item[call[1]] ?? {})
      this.#add('assistant', [{ type: 'call', id, name: call[0], input: { json } }])
    } else if (outputs.has(type)) this.#add('user', [this.#result(item, at)])
    else this.#add('assistant', [opaque(type, item)])
  }

  #message(item: Fields, at: string): void {
    const { role, content, phase } = item
    const known = roles[wordOf(role)] ?? wrong(`${at}.role`, 'user, assistant, system or developer')
    const parts: Part[] =
      typeof content === 'string'
        ? [{ type: 'text', text: content }]
        : (listIn(content, `${at}.content`) ?? []).map((part, n) => this.#part(part, `${at}.content.${n}`))
    this.#add(known, parts, typeof phase === 'string' ? phases[phase] : undefined)
  }

  #result(item: Fields, at: string): Result {
    const { output, name } = item
    const called = textIn(name, `${at}.name`)
    return {
      type: 'result',
      callId: textIn(item['call_id'] ?? item['id'], `${at}.call_id`) ?? '',
      ...(called ? { name: called } : {}),
      parts: this.#output(output, `${at}.output`),
      error: false,
    }
  }

  #output(output: unknown, at: string): Result['parts'] {
    if (output === undefined || output === null) return []
    if (typeof output === 'string') return [{ type: 'text', text: output }]
    if (!Array.isArray(output)) return [{ type: 'text', text: exactFields(output) }]
    return output.map((one, n) => {
      const part = isFields(one) && 'type' in one ? this.#part(one, `${at}.${n}`) : undefined
      if (part?.type === 'text' || part?.type === 'media' || part?.type === 'opaque') return part
      return { type: 'text', text: exactFields(one) }
    })
  }

  #part(value: unknown, at: string): Text | Media | Opaque | (Part & { type: 'refusal' }) {
    const part = fieldsIn(value, at) ?? wrong(at, 'an object')
    const cache = isFields(part['prompt_cache_breakpoint'])
      ? { cache: cacheTtl(part['prompt_cache_breakpoint']['ttl']) }
      : {}
    switch (part['type']) {
      case 'input_text':
      case 'output_text':
      case 'text':
        return { type: 'text', text: textIn(part['text'], `${at}.text`) ?? '', ...cache }
      case 'refusal':
        return { type: 'refusal', text: textIn(part['refusal'], `${at}.refusal`) ?? '' }
      case 'input_image':
      case 'computer_screenshot': {
        const detail = textIn(part['detail'], `${at}.detail`)
        const from = this.#place(part['image_url'], undefined, part['file_id'], at)
        return { type: 'media', kind: 'image', ...from, ...(detail && detail !== 'auto' ? { detail } : {}), ...cache }
      }
      case 'input_file': {
        const title = textIn(part['filename'], `${at}.filename`)
        const from = this.#place(part['file_url'], part['file_data'], part['file_id'], at)
        // The vendor takes the data alone, too, and knows by the name what it is.
        const mime = 'base64' in from.at && !from.mime ? { mime: 'application/pdf' } : {}
        return { type: 'media', kind: 'document', ...mime, ...from, ...(title ? { title } : {}), ...cache }
      }
      case 'input_audio': {
        const { data, format } = fieldsIn(part['input_audio'], `${at}.input_audio`) ?? {}
        const mime = `audio/${textIn(format, `${at}.input_audio.format`) ?? 'wav'}`
        return { type: 'media', kind: 'audio', mime, at: { base64: textIn(data, `${at}.input_audio.data`) ?? '' } }
      }
      default:
        return opaque(wordOf(part['type']), part)
    }
  }

  #place(url: unknown, data: unknown, file: unknown, at: string): Pick<Media, 'at' | 'mime'> {
    const said = textIn(data, `${at}.file_data`) ?? textIn(url, `${at}.url`)
    if (said !== undefined) {
      const inline = /^data:([^;,]*)(?:;[^,]*)?,/.exec(said.slice(0, 256))
      if (inline) return { ...(inline[1] ? { mime: inline[1] } : {}), at: { base64: said.slice(inline[0].length) } }
      return { at: data === undefined || data === null ? { url: said } : { base64: said } }
    }
    const id = textIn(file, `${at}.file_id`) ?? wrong(at, 'an image or a file, by URL, data or file_id')
    this.#held.push({ what: 'file', param: `${at.replace(/\.\d+/g, '')}.file_id`, id })
    return { at: { file: id } }
  }

  // Items of one side are one turn, as other dialects have it, unless they say that they are of different phases.
  #add(role: Turn['role'], parts: Part[], phase?: Turn['phase']): void {
    const last = this.turns.at(-1)
    if (last && last.role === role && role !== 'system' && (!phase || !last.phase || last.phase === phase)) {
      last.parts.push(...parts)
      if (phase) last.phase = phase
    } else this.turns.push({ role, parts, ...(phase ? { phase } : {}) })
  }
}

const opaque = (kind: string, json: Fields): Opaque => ({
  type: 'opaque',
  dialect: 'responses',
  kind,
  json: exactFields(json),
})

function thoughtOf(item: Fields, at: string): Thought {
  const said = (list: unknown, name: string) =>
    (listIn(list, `${at}.${name}`) ?? [])
      .map(part => (isFields(part) && typeof part['text'] === 'string' ? part['text'] : ''))
      .filter(text => text !== '')
  const texts = said(item['summary'], 'summary')
  const text = (texts.length > 0 ? texts : said(item['content'], 'content')).join('\n\n')
  const proof = textIn(item['encrypted_content'], `${at}.encrypted_content`)
  if (!proof) return { type: 'thought', text }
  const enclosed = disclose(proof)
  if (enclosed) {
    const seal = { value: enclosed.value ?? '', issuer: enclosed.issuer }
    return {
      type: 'thought',
      text: text || enclosed.text,
      ...(enclosed.callId === REDACTED ? { redacted: true } : {}),
      seal,
    }
  }
  return { type: 'thought', text, ...(isOurs(proof) ? {} : { seal: { value: proof, issuer: undefined } }) }
}

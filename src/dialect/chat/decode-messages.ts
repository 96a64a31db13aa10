// The messages of a Chat Completions request as turns of the middle form.
import type { Call, Held, Json, Media, Part, Refusal, Result, Text, Turn } from '../middle/form.ts'
import { type Fields, fieldsIn, isFields, listIn, textIn, wordOf, wrong } from '../middle/read.ts'
import { cacheOf, exact, extOf } from './own.ts'

/** What stands before the conversation, and the conversation. @throws Failure BODY_INVALID */
export function decodeMessages(messages: unknown, held: Held[]): { system: Text[]; turns: Turn[] } {
  const system: Text[] = []
  const turns: Turn[] = []
  for (const [n, one] of (listIn(messages, 'messages') ?? wrong('messages', 'a list')).entries()) {
    const at = `messages.${n}`
    const message = fieldsIn(one, at) ?? wrong(at, 'an object')
    const turn = turnOf(message, at, held)
    if (turn.role === 'system' && turns.length === 0) system.push(...turn.parts.filter(isText))
    else turns.push(turn)
  }
  return { system, turns }
}

const isText = (part: Part): part is Text => part.type === 'text'

function turnOf(message: Fields, at: string, held: Held[]): Turn {
  const { role, content, ...rest } = message
  switch (role) {
    case 'system':
    case 'developer':
      return { role: 'system', parts: textsIn(content, at), ...extOf(rest) }
    case 'user':
      return { role: 'user', parts: partsIn(content, at, held), ...extOf(rest) }
    case 'assistant':
      return assistantOf(rest, content, at, held)
    case 'tool':
    case 'function': {
      const { tool_call_id, name, cache_control, prompt_cache_breakpoint, ...more } = rest
      const called = textIn(name, `${at}.name`)
      const callId = textIn(tool_call_id, `${at}.tool_call_id`)
      const result: Result = {
        type: 'result',
        callId: callId ?? (role === 'function' ? '' : wrong(`${at}.tool_call_id`, 'there')),
        ...(called ? { name: called } : {}),
        parts: partsIn(content, at, held).filter(
          part => part.type === 'text' || part.type === 'media' || part.type === 'opaque',
        ),
        error: false,
        ...cacheOf({ cache_control, prompt_cache_breakpoint }),
      }
      return { role: 'user', parts: [result], ...extOf(more) }
    }
    default:
      return wrong(`${at}.role`, 'developer, system, user, assistant, tool or function')
  }
}

function textsIn(content: unknown, at: string): Text[] {
  return partsIn(content, at, []).filter(isText)
}

function assistantOf(rest: Fields, content: unknown, at: string, held: Held[]): Turn {
  const { reasoning_content, reasoning, refusal, tool_calls, function_call, audio, annotations: _, ...beside } = rest
  const parts: Part[] = []
  const { reasoning_details: __, ...more } = beside
  const thought = typeof reasoning_content === 'string' ? reasoning_content : reasoning
  if (typeof thought === 'string' && thought !== '') parts.push({ type: 'thought', text: thought })
  parts.push(...partsIn(content, at, held))
  const refused = textIn(refusal, `${at}.refusal`)
  if (refused) parts.push({ type: 'refusal', text: refused } satisfies Refusal)
  const said = fieldsIn(audio, `${at}.audio`)
  if (said) held.push({ what: 'item', param: `${at}.audio`, id: wordOf(said['id']) })
  for (const [n, call] of (listIn(tool_calls, `${at}.tool_calls`) ?? []).entries())
    parts.push(
      callOf(
        fieldsIn(call, `${at}.tool_calls.${n}`) ?? wrong(`${at}.tool_calls.${n}`, 'an object'),
        `${at}.tool_calls.${n}`,
      ),
    )
  const legacy = fieldsIn(function_call, `${at}.function_call`)
  if (legacy) parts.push(callOf({ function: legacy }, `${at}.function_call`))
  return { role: 'assistant', parts, ...extOf(more) }
}

function callOf(call: Fields, at: string): Call {
  const { id, custom, function: called } = call
  const its = { type: 'call', id: textIn(id, `${at}.id`) ?? '' } as const
  if (isFields(custom))
    return {
      ...its,
      name: nameIn(custom, `${at}.custom`),
      input: { text: textIn(custom['input'], `${at}.custom.input`) ?? '' },
    }
  const fields = fieldsIn(called, `${at}.function`) ?? wrong(`${at}.function`, 'an object')
  return { ...its, name: nameIn(fields, `${at}.function`), input: { json: argumentsIn(fields['arguments']) } }
}

const nameIn = ({ name }: Fields, at: string) => textIn(name, `${at}.name`) ?? wrong(`${at}.name`, 'there')

/** They are JSON in a string; clients exist that write the object itself, or nothing. */
function argumentsIn(kept: unknown): Json {
  if (typeof kept !== 'string' || kept === 'null') return '{}' as Json
  if (!kept.startsWith('"')) return kept as Json
  const said = JSON.parse(kept) as string
  return (said.trim() === '' ? '{}' : said) as Json
}

function partsIn(content: unknown, at: string, held: Held[]): (Text | Media | Refusal | (Part & { type: 'opaque' }))[] {
  if (typeof content === 'string') return content === '' ? [] : [{ type: 'text', text: content }]
  return (listIn(content, `${at}.content`) ?? []).map((one, n) => {
    const place = `${at}.content.${n}`
    return partOf(fieldsIn(one, place) ?? wrong(place, 'an object'), place, held)
  })
}

function partOf(part: Fields, at: string, held: Held[]): Text | Media | Refusal | (Part & { type: 'opaque' }) {
  const { type, cache_control: _, prompt_cache_breakpoint: __, ...said } = part
  const cache = cacheOf(part)
  switch (type) {
    case 'text': {
      const { text, ...rest } = said
      return {
        type: 'text',
        text: textIn(text, `${at}.text`) ?? wrong(`${at}.text`, 'a string'),
        ...cache,
        ...extOf(rest),
      }
    }
    case 'refusal':
      return { type: 'refusal', text: textIn(said['refusal'], `${at}.refusal`) ?? '' }
    case 'image_url':
    case 'video_url': {
      const from = said[type]
      const { url, detail } = isFields(from) ? from : { url: from, detail: undefined }
      const place = textIn(url, `${at}.${type}.url`) ?? wrong(`${at}.${type}.url`, 'there')
      const finely = textIn(detail, `${at}.${type}.detail`)
      const located = locatedAt(place)
      // Clients exist that bring a PDF here.
      const isPdf = located.mime === 'application/pdf'
      const kind = isPdf ? 'document' : type === 'image_url' ? 'image' : 'video'
      return { type: 'media', kind, ...located, ...(finely ? { detail: finely } : {}), ...cache }
    }
    case 'input_audio': {
      const place = `${at}.input_audio`
      const { data, format } = fieldsIn(said['input_audio'], place) ?? wrong(place, 'an object')
      const base64 = textIn(data, `${place}.data`) ?? wrong(`${place}.data`, 'there')
      return {
        type: 'media',
        kind: 'audio',
        mime: `audio/${textIn(format, `${place}.format`) ?? 'wav'}`,
        at: { base64 },
        ...cache,
      }
    }
    case 'file': {
      const { file_id, file_data, filename } = fieldsIn(said['file'], `${at}.file`) ?? wrong(`${at}.file`, 'an object')
      const title = textIn(filename, `${at}.file.filename`)
      const named = title ? { title } : {}
      const id = textIn(file_id, `${at}.file.file_id`)
      if (id !== undefined) {
        held.push({ what: 'file', param: `${at}.file.file_id`, id })
        return { type: 'media', kind: 'document', ...named, at: { file: id }, ...cache }
      }
      const data = textIn(file_data, `${at}.file.file_data`) ?? wrong(`${at}.file.file_data`, 'there')
      const from = data.startsWith('data:') ? locatedAt(data) : { mime: 'application/pdf', at: { base64: data } }
      return { type: 'media', kind: 'document', ...from, ...named, ...cache }
    }
    default:
      return {
        type: 'opaque',
        dialect: 'chat',
        kind: textIn(type, `${at}.type`) ?? wrong(`${at}.type`, 'there'),
        json: exact(part),
        ...cache,
      }
  }
}

/** Where a medium is: here, when its URL brings it. */
function locatedAt(url: string): Pick<Media, 'at' | 'mime'> {
  const [, mime, base64] = /^data:([^;,]+)(?:;[^;,]+)*;base64,(.*)$/s.exec(url) ?? []
  return mime === undefined ? { at: { url } } : { mime, at: { base64: base64! } }
}

// The content of a Messages request in parts of the middle form.

import type { Citation, Ext, Held, Json, Media, Opaque, Part, Result, Seal, Text, Thought } from '../middle/form.ts'
import { type Fields, fieldsIn, flagIn, isFields, listIn, textIn, wordOf, wrong } from '../middle/read.ts'
import { disclose, isOurs } from '../middle/seal.ts'
import { cacheOf, exact, extOf } from './own.ts'

export function decodeBlocks(blocks: readonly unknown[], at: string, held: Held[]): Part[] {
  return blocks.flatMap((block, n) =>
    partsOf(fieldsIn(block, `${at}.${n}`) ?? wrong(`${at}.${n}`, 'a block'), `${at}.${n}`, held),
  )
}

export function textOf(block: Fields, at: string): Text {
  const { type: _, text, citations, cache_control: __, ...rest } = block
  const cited = Array.isArray(citations) ? citations.filter(isFields).map(citationOf) : []
  return {
    type: 'text',
    text: textIn(text, `${at}.text`) ?? wrong(`${at}.text`, 'a string'),
    ...(cited.length > 0 ? { citations: cited } : {}),
    ...cacheOf(block, at),
    ...beside(rest),
  }
}

const beside = (rest: Fields): { ext?: Ext } => {
  const ext = extOf(rest)
  return ext ? { ext } : {}
}

export function citationOf(said: Fields): Citation {
  const text = (name: string) => (typeof said[name] === 'string' ? said[name] : undefined)
  const number = (name: string) => (typeof said[name] === 'number' ? said[name] : undefined)
  const url = text('url') ?? (text('type') === 'search_result_location' ? text('source') : undefined)
  const title = text('title') ?? text('document_title')
  const quote = text('cited_text')
  const start = number('start_char_index')
  const end = number('end_char_index')
  return {
    kind: url === undefined ? 'document' : 'url',
    ...(url === undefined ? {} : { url }),
    ...(title === undefined ? {} : { title }),
    ...(quote === undefined ? {} : { quote }),
    ...(start === undefined ? {} : { start }),
    ...(end === undefined ? {} : { end }),
  }
}

function partsOf(block: Fields, at: string, held: Held[]): Part[] {
  const cache = cacheOf(block, at)
  const { type, cache_control: _, ...said } = block
  switch (type) {
    case 'text':
      return [textOf(block, at)]
    case 'image':
    case 'document':
    case 'search_result':
      return mediaOf(block, at, held)
    case 'thinking':
      return [thoughtOf(textIn(said['thinking'], `${at}.thinking`) ?? '', textIn(said['signature'], `${at}.signature`))]
    case 'redacted_thinking':
      return [{ ...thoughtOf('', textIn(said['data'], `${at}.data`)), redacted: true }]
    case 'tool_use':
    case 'server_tool_use':
    case 'mcp_tool_use': {
      const { id, name, input, toolset_name, ...rest } = said
      const namespace = textIn(toolset_name, `${at}.toolset_name`)
      return [
        {
          type: 'call',
          id: textIn(id, `${at}.id`) ?? '',
          name: textIn(name, `${at}.name`) ?? wrong(`${at}.name`, 'there'),
          input: { json: (typeof input === 'string' ? input : '{}') as Json },
          ...(namespace ? { namespace } : {}),
          ...(type === 'tool_use' ? {} : { by: 'server' }),
          ...cache,
          ...beside(rest),
        },
      ]
    }
    case 'tool_result': {
      const { tool_use_id, content, is_error, toolset_name: _, ...rest } = said
      return [
        {
          type: 'result',
          callId: textIn(tool_use_id, `${at}.tool_use_id`) ?? wrong(`${at}.tool_use_id`, 'there'),
          parts: resultParts(content, `${at}.content`, held),
          error: flagIn(is_error, `${at}.is_error`) ?? false,
          ...cache,
          ...beside(rest),
        },
      ]
    }
    case 'compaction': {
      const text = textIn(said['content'], `${at}.content`)
      return text ? [{ type: 'text', text, ...cache }] : []
    }
    case 'container_upload':
      held.push({ what: 'file', param: `${at}.file_id`, id: wordOf(said['file_id']) })
      return []
    default:
      if (typeof type === 'string' && type.endsWith('_tool_result')) return [serverResult(said)]
      return [
        {
          type: 'opaque',
          dialect: 'messages',
          kind: textIn(type, `${at}.type`) ?? wrong(`${at}.type`, 'there'),
          json: exact(block),
          ...cache,
        },
      ]
  }
}

function thoughtOf(text: string, signature: string | undefined): Thought {
  const seal = sealOf(signature)
  return { type: 'thought', text, ...(seal ? { seal } : {}) }
}

/** A proof as a client brings it: one of ours opened, or what looks like the vendor's own; undefined: none, or one of ours that is broken. */
export function sealOf(text: string | undefined): Seal | undefined {
  if (!text) return undefined
  const ours = disclose(text)
  if (ours) return { value: ours.value ?? '', issuer: ours.issuer }
  return isOurs(text) ? undefined : { value: text, issuer: undefined }
}

function resultParts(content: unknown, at: string, held: Held[]): Result['parts'] {
  if (typeof content === 'string') return content === '' ? [] : [{ type: 'text', text: content }]
  return (listIn(content, at) ?? []).flatMap((one, n): Result['parts'] => {
    const block = fieldsIn(one, `${at}.${n}`) ?? wrong(`${at}.${n}`, 'a block')
    if (block['type'] === 'text') return [textOf(block, `${at}.${n}`)]
    if (mediaTypes.has(block['type'])) return mediaOf(block, `${at}.${n}`, held)
    return [{ type: 'opaque', dialect: 'messages', kind: wordOf(block['type']), json: exact(block) }]
  })
}

/** What a tool found that Anthropic ran, as text. */
export function serverResult(said: Fields): Result {
  const { content } = said
  const failed = isFields(content) && typeof content['error_code'] === 'string' ? content['error_code'] : undefined
  const found = Array.isArray(content) ? content.filter(isFields) : isFields(content) ? [content] : []
  const lines = found.map(one => {
    const { title, url, text } = one
    if (typeof text === 'string') return text
    return typeof url === 'string' ? `${typeof title === 'string' ? `${title} ` : ''}<${url}>` : exact(one)
  })
  return {
    type: 'result',
    callId: wordOf(said['tool_use_id']),
    parts: lines.length === 0 ? [] : [{ type: 'text', text: failed ?? lines.join('\n') }],
    error: failed !== undefined,
    by: 'server',
  }
}

const mediaTypes = new Set<unknown>(['image', 'document', 'search_result'])

function mediaOf(block: Fields, at: string, held: Held[]): (Text | Media | Opaque)[] {
  const cache = cacheOf(block, at)
  const { type, source, title, context, citations: _, cache_control: __, content, ...rest } = block
  const named = textIn(title, `${at}.title`)
  const of = {
    type: 'media',
    kind: type === 'image' ? 'image' : 'document',
    ...(named ? { title: named } : {}),
  } as const
  if (type === 'search_result') {
    const text = `${typeof source === 'string' ? `${source}\n` : ''}${joined(content)}`
    return [{ ...of, mime: 'text/plain', at: { text }, ...cache, ...beside(rest) }]
  }
  const from = fieldsIn(source, `${at}.source`) ?? wrong(`${at}.source`, 'an object')
  // What is said about a document stands before it.
  const about = textIn(context, `${at}.context`)
  const before: Text[] = about ? [{ type: 'text', text: about }] : []
  const field = (name: string) => textIn(from[name], `${at}.source.${name}`) ?? wrong(`${at}.source.${name}`, 'there')
  const mime = textIn(from['media_type'], `${at}.source.media_type`)
  const typed = mime === undefined ? {} : { mime }
  switch (from['type']) {
    case 'base64':
      return [...before, { ...of, ...typed, at: { base64: field('data') }, ...cache, ...beside(rest) }]
    case 'url':
      return [...before, { ...of, ...typed, at: { url: field('url') }, ...cache, ...beside(rest) }]
    case 'file': {
      const id = field('file_id')
      held.push({ what: 'file', param: `${at}.source.file_id`, id })
      return [...before, { ...of, at: { file: id }, ...cache }]
    }
    case 'text':
      return [...before, { ...of, mime: mime ?? 'text/plain', at: { text: field('data') }, ...cache, ...beside(rest) }]
    case 'content': {
      const images = (Array.isArray(from['content']) ? from['content'] : [])
        .filter(isFields)
        .filter(one => one['type'] === 'image')
      const text = joined(from['content'])
      return [
        ...before,
        { ...of, mime: 'text/plain', at: { text }, ...cache, ...beside(rest) },
        ...images.flatMap((image, n) => mediaOf(image, `${at}.source.content.${n}`, held)),
      ]
    }
    default:
      return wrong(`${at}.source.type`, 'base64, url, file, text or content')
  }
}

/** The texts of a content that may be a string. */
function joined(content: unknown): string {
  if (typeof content === 'string') return content
  const texts = (Array.isArray(content) ? content : []).filter(isFields).map(({ text }) => text)
  return texts.filter(text => typeof text === 'string').join('\n')
}

// The conversation as messages of Chat Completions: results right behind their calls, media of results in the user message after them.

import { raw } from '../json/exact.ts'
import type { Call, Media, Part, Result, Text, Thought, Turn } from '../middle/form.ts'
import { mimeOf } from '../middle/media.ts'
import { words } from '../middle/read.ts'
import { isGoodFor } from '../middle/seal.ts'
import { repaired } from '../middle/turns.ts'
import type { Encoding } from '../openai-asking.ts'

export function encodeMessages(encoding: Encoding): object[] {
  const { ask, target, notes, fields } = encoding
  const said = ask.system.map(({ text }) => text).filter(text => text.trim() !== '')
  const developer = target.own && target.facts.developer ? 'developer' : 'system'
  const messages: object[] = []
  for (const { cache } of ask.system) if (cache && !marks(encoding)) notes.drop(fields.cache)
  for (const { cache } of ask.tools) if (cache) notes.drop(fields.cache)
  if (said.length > 0) {
    // Every server takes one string; only there is a breakpoint, where parts can have one.
    const cached = marks(encoding) && ask.system.some(({ cache }) => cache)
    const parts = () => ask.system.filter(({ text }) => text.trim() !== '').map(part => textPart(part, encoding))
    messages.push({ role: developer, content: cached ? parts() : said.join('\n\n') })
  }
  const { turns } = repaired(ask.turns, {
    legal: 'a-zA-Z0-9_-',
    max: 40,
    prefix: 'call_',
    merge: ['user', 'assistant'],
  })
  for (const turn of turns) {
    if (turn.role === 'assistant') messages.push(...assistant(turn, encoding))
    else if (turn.role === 'user') messages.push(...user(turn, encoding))
    else {
      const text = turn.parts.map(part => (part.type === 'text' ? part.text : '')).join('\n\n')
      if (target.own && target.facts.midSystem) messages.push({ role: developer, content: text })
      else messages.push({ role: 'user', content: `<system-reminder>\n${text}\n</system-reminder>` })
    }
  }
  return messages
}

/** Whether a part can be marked as the end of what is cached. */
const marks = ({ target }: Encoding) => target.facts.cacheTtls.length > 0

function breakpoint({ cache }: Part | Text, encoding: Encoding): object {
  if (!cache) return {}
  const { target, notes, fields } = encoding
  if (!marks(encoding)) {
    notes.drop(fields.cache)
    return {}
  }
  const ttl = target.facts.cacheTtls.includes(cache) ? { ttl: cache } : {}
  return { prompt_cache_breakpoint: { mode: 'explicit', ...ttl } }
}

const textPart = (part: Text, encoding: Encoding) => ({ type: 'text', text: part.text, ...breakpoint(part, encoding) })

function user({ parts, ext }: Turn, encoding: Encoding): object[] {
  const results = parts.filter((part): part is Result => part.type === 'result' && !part.by)
  const content: object[] = []
  const messages: object[] = results.map(result => toolMessage(result, content, encoding))
  for (const part of parts) if (part.type !== 'result' || part.by) content.push(...contentOf(part, encoding))
  if (content.length === 0) return messages
  const name = ext?.chat?.['name']
  return [...messages, { role: 'user', content: plain(content), ...(name ? { name: raw(name) } : {}) }]
}

/** A single text is written as it is. */
function plain(content: readonly object[]): unknown {
  const [only, more] = content as readonly { type: string; text?: string; prompt_cache_breakpoint?: object }[]
  return only && !more && only.type === 'text' && !only.prompt_cache_breakpoint ? only.text : content
}

/** What was answered to a call; what cannot stand in such a message goes to `after`, labelled. */
function toolMessage(result: Result, after: object[], encoding: Encoding): object {
  const { notes, fields } = encoding
  const texts: string[] = []
  for (const part of result.parts)
    if (part.type === 'text') texts.push(part.text)
    else if (part.type === 'media') {
      if ('text' in part.at) texts.push(textOf(part))
      else
        after.push(
          { type: 'text', text: `${kinds[part.kind]} returned by ${result.name || 'the tool'} (${result.callId}):` },
          ...contentOf(part, encoding),
        )
    } else if (part.kind === 'object') texts.push(part.json)
    else notes.drop(`${fields.history}.${part.kind}`)
  const mark = breakpoint(result, encoding) as { prompt_cache_breakpoint?: object }
  const text = texts.join('\n')
  const said = result.error ? `Error: ${text || 'the tool failed'}` : text
  const content = said === '' && after.length > 0 ? 'What it returned is in the next message.' : said
  const marked = mark.prompt_cache_breakpoint ? [{ type: 'text', text: content, ...mark }] : content
  return { role: 'tool', tool_call_id: result.callId, content: marked }
}

const kinds: Record<Media['kind'], string> = { image: 'Image', audio: 'Audio', video: 'Video', document: 'Document' }

const textOf = ({ title, at }: Media) => `${title ? `${title}\n\n` : ''}${'text' in at ? at.text : ''}`

function contentOf(part: Part, encoding: Encoding): object[] {
  const { notes, fields } = encoding
  switch (part.type) {
    case 'text':
      return [textPart(part, encoding)]
    case 'refusal':
      return [{ type: 'text', text: part.text }]
    case 'media':
      return [mediaOf(part, encoding)]
    case 'result': {
      const said = part.parts.map(one => (one.type === 'text' ? one.text : '')).join('\n')
      return said.trim() === ''
        ? []
        : [{ type: 'text', text: `Result of ${part.name || 'a tool of the provider'}:\n${said}` }]
    }
    case 'opaque':
      if (part.dialect === 'chat') return [raw(part.json)]
      notes.drop(`${fields.history}.${part.kind}`)
      return []
    default:
      return []
  }
}

const sounds = words<string>({
  'audio/wav': 'wav',
  'audio/x-wav': 'wav',
  'audio/wave': 'wav',
  'audio/mp3': 'mp3',
  'audio/mpeg': 'mp3',
})

function mediaOf(part: Media, encoding: Encoding): object {
  const { notes, fields } = encoding
  const { kind, at, mime, detail, title } = part
  const mark = breakpoint(part, encoding)
  if ('text' in at) return { type: 'text', text: textOf(part), ...mark }
  if ('file' in at)
    return notes.refuse(`${fields.history}.${kind}`, 'a file that is kept at a provider can be used only there')
  switch (kind) {
    case 'image': {
      const url = 'url' in at ? at.url : `data:${mimeOf(part, at.base64)};base64,${at.base64}`
      return { type: 'image_url', image_url: { url, ...(detail ? { detail } : {}) }, ...mark }
    }
    case 'audio': {
      const format = sounds[mime ?? '']
      if ('url' in at || !format)
        return notes.refuse(`${fields.history}.${kind}`, 'sound is taken here as wav or mp3, in the request')
      return { type: 'input_audio', input_audio: { data: at.base64, format }, ...mark }
    }
    case 'document': {
      if ('url' in at)
        return notes.refuse(`${fields.history}.${kind}`, 'a document is taken here in the request, not by its URL')
      const type = mime ?? 'application/pdf'
      if (type.startsWith('text/')) {
        const text = Buffer.from(at.base64, 'base64').toString('utf8')
        return { type: 'text', text: textOf({ ...part, at: { text } }), ...mark }
      }
      const filename = title || `document.${type.split('/').at(-1)}`
      return { type: 'file', file: { filename, file_data: `data:${type};base64,${at.base64}` }, ...mark }
    }
    case 'video':
      return notes.refuse(`${fields.history}.${kind}`, 'video is not taken here')
  }
}

function assistant({ parts, ext }: Turn, encoding: Encoding): object[] {
  const { target, notes, fields } = encoding
  const texts: Text[] = []
  const calls: object[] = []
  let thought = ''
  let refusal = ''
  for (const part of parts)
    switch (part.type) {
      case 'text':
        texts.push(part)
        break
      case 'refusal':
        if (target.own) refusal += part.text
        else texts.push({ type: 'text', text: part.text })
        break
      case 'thought':
        if (isTaken(part, encoding)) thought += part.text
        else notes.drop(fields.thought)
        break
      case 'call':
        if (!part.by) calls.push(callOf(part, encoding))
        else notes.change(`${fields.history}.${part.name}`)
        break
      case 'result': {
        const [said] = contentOf(part, encoding) as { text: string }[]
        if (said) texts.push({ type: 'text', text: said.text })
        break
      }
      case 'media':
        notes.drop(`${fields.history}.${part.kind}`)
        break
      case 'opaque':
        if (part.dialect === 'chat') break
        notes.drop(`${fields.history}.${part.kind}`)
    }
  if (texts.length === 0 && calls.length === 0 && refusal === '') return []
  for (const part of parts)
    if (part.type !== 'text' && part.type !== 'media') breakpoint(withoutMark(part, encoding), encoding)
  const name = ext?.chat?.['name']
  return [
    {
      role: 'assistant',
      content: texts.length === 0 ? null : assistantText(texts, encoding),
      ...(thought === '' ? {} : { reasoning_content: thought }),
      ...(refusal === '' ? {} : { refusal }),
      ...(calls.length > 0 ? { tool_calls: calls } : {}),
      ...(name ? { name: raw(name) } : {}),
    },
  ]
}

/** A call can have no breakpoint; one that stood there is named as left out where the others are, too. */
function withoutMark(part: Part, encoding: Encoding): Part {
  if (part.cache && marks(encoding)) encoding.notes.drop(encoding.fields.cache)
  return marks(encoding) ? { ...part, cache: undefined as never } : part
}

function assistantText(texts: readonly Text[], encoding: Encoding): unknown {
  const parts = texts.map(text => textPart(text, encoding))
  if (texts.length === 1 || encoding.target.own) return plain(parts)
  // Pieces of one sentence, where a vendor cites; else paragraphs.
  const cited = texts.some(({ citations }) => citations && citations.length > 0)
  return texts.map(({ text }) => text).join(cited ? '' : '\n\n')
}

/** Reasoning goes back to the server that it is of, where the server wants it. */
function isTaken({ text, seal }: Thought, { target, ask }: Encoding): boolean {
  if (!target.facts.thoughtsBack || text === '') return false
  return seal?.issuer ? isGoodFor(seal, target.issuer) : ask.dialect === 'chat'
}

function callOf({ id, name, namespace, input }: Call, { target, names }: Encoding): object {
  const wire = names.of({ name, ...(namespace ? { namespace } : {}) })
  if ('json' in input) return { id, type: 'function', function: { name: wire, arguments: input.json } }
  return target.own
    ? { id, type: 'custom', custom: { name: wire, input: input.text } }
    : { id, type: 'function', function: { name: wire, arguments: JSON.stringify({ input: input.text }) } }
}

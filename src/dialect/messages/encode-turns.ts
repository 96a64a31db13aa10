// A conversation as Claude is given it: what has no block there is said as text or named as left out.
import { raw } from '../json/exact.ts'
import type { Target } from '../middle/codec.ts'
import { fieldsOf } from '../middle/fields.ts'
import type { Ask, Call, Media, Part, Result, Seal, Text, Thought, Turn } from '../middle/form.ts'
import { mimeOf } from '../middle/media.ts'
import { isGoodFor } from '../middle/seal.ts'
import { begun, continued, type Repairs, repaired } from '../middle/turns.ts'
import type { Cached } from './breakpoints.ts'
import type { Written } from './encode-tools.ts'

const repairs: Repairs = { legal: 'a-zA-Z0-9_-', max: 128, prefix: 'toolu_g', merge: ['user', 'assistant'] }

type Block = Cached & Record<string, unknown>

export interface Conversation {
  /** system texts that stand before everything else */
  system: Text[]
  turns: readonly Turn[]
  /** a turn under way has calls that no reasoning stands before */
  unproven: boolean
  /** proofs of reasoning are sent */
  sealed: boolean
}

/** The turns that will be sent, in parts that Claude has. */
export function conversation(written: Written): Conversation {
  const { ask, target } = written
  const first = ask.turns.findIndex(({ role }) => role !== 'system')
  const leading = ask.turns.slice(0, first === -1 ? ask.turns.length : first)
  const texts = [...ask.system, ...leading.flatMap(({ parts }) => parts.filter(part => part.type === 'text'))]
  const system = texts.filter(({ text }) => text.trim() !== '')
  const said = first === -1 ? [] : ask.turns.slice(first)
  const mended = repaired(
    said.map(turn => spoken(turn, written)),
    repairs,
  ).turns
  const turns = begun(mended, system)
  const last = turns.findLast(({ role }) => role === 'assistant')
  const calls = last?.parts.some(part => part.type === 'call') ?? false
  const sealed = turns.some(({ parts }) => parts.some(({ type }) => type === 'thought'))
  return {
    system,
    turns: prefilled(turns, written),
    unproven: calls && last?.parts[0]?.type !== 'thought',
    sealed: sealed && target.facts.bound,
  }
}

/** A beginning of the answer is for models that take one, and for none that thinks before it speaks. */
function prefilled(turns: Turn[], { ask, target, notes }: Written): readonly Turn[] {
  const thinks = ask.thinking !== undefined && ask.thinking.mode !== 'off' && target.facts.thinking.length > 0
  if (target.facts.prefill && !thinks) return trimmed(turns)
  const asked = continued(turns)
  if (asked !== turns) notes.change(fieldsOf(ask).history)
  return asked
}

/** A beginning of the answer may not end in blanks. */
function trimmed(turns: Turn[]): readonly Turn[] {
  const last = turns.at(-1)
  const part = last?.parts.at(-1)
  if (last?.role !== 'assistant' || part?.type !== 'text') return turns
  return [
    ...turns.slice(0, -1),
    { ...last, parts: [...last.parts.slice(0, -1), { ...part, text: part.text.trimEnd() }] },
  ]
}

function spoken(turn: Turn, written: Written): Turn {
  const { target } = written
  const parts = turn.parts.flatMap(part => partsOf(part, turn, written))
  if (turn.role !== 'system' || target.facts.midSystem) return { ...turn, parts: kept(turn, parts, written) }
  const reminded = parts.map(part => (part.type === 'text' ? { ...part, text: reminder(part.text) } : part))
  return { role: 'user', parts: reminded }
}

const reminder = (text: string) => (text.trim() === '' ? '' : `<system-reminder>\n${text}\n</system-reminder>`)

/** With the reasoning before calls that was kept here, since the client's dialect has no place for it. */
function kept({ role }: Turn, parts: Part[], { ask, target }: Written): Part[] {
  if (role !== 'assistant' || parts.some(({ type }) => type === 'thought')) return parts
  const out: Part[] = []
  for (const part of parts) {
    const found = part.type === 'call' && part.id !== '' ? target.kept(part.id) : undefined
    if (found && isOwn(found.seal, ask, target)) {
      const thought: Thought = { type: 'thought', text: found.text, seal: found.seal }
      // What Claude thought before its first call it thought before it spoke.
      if (out.some(({ type }) => type === 'call')) out.push(thought)
      else out.unshift(thought)
    }
    out.push(part)
  }
  return out
}

/** Whether a proof was issued by whoever is asked now. A client of another dialect brings none of Anthropic's without our envelope. */
function isOwn(seal: Seal | undefined, ask: Ask, target: Target): seal is Seal {
  if (!seal || seal.value === '' || !target.seals) return false
  return seal.issuer ? isGoodFor(seal, target.issuer) : ask.dialect === 'messages'
}

function partsOf(part: Part, turn: Turn, written: Written): Part[] {
  const { ask, target, notes } = written
  const fields = fieldsOf(ask)
  switch (part.type) {
    case 'text':
      return [part]
    case 'refusal':
      return [{ type: 'text', text: part.text, ...(part.cache ? { cache: part.cache } : {}) }]
    case 'thought':
      if (isOwn(part.seal, ask, target)) return [part]
      if (part.seal || part.text !== '') notes.drop(fields.thought)
      return []
    case 'media':
      return mediaOf(part, turn, written)
    case 'call':
      return part.by ? serverCall(part, written) : [part]
    case 'result':
      return part.by ? serverResult(part, written) : [{ ...part, parts: resultParts(part, turn, written) }]
    case 'opaque':
      if (part.dialect === 'messages') return [part]
      notes.drop(`${fields.history}.${part.kind}`)
      return []
  }
}

// What a vendor's tool did in an earlier turn, told: its own blocks are only for whoever ran it.
function serverCall({ name, input, cache }: Call, { ask, notes }: Written): Part[] {
  notes.change(`${fieldsOf(ask).history}.${name}`)
  const said = 'json' in input ? input.json : input.text
  return [{ type: 'text', text: `[${name} ${said}]`, ...(cache ? { cache } : {}) }]
}

function serverResult({ name, parts, cache }: Result, { ask, notes }: Written): Part[] {
  if (name) notes.change(`${fieldsOf(ask).history}.${name}`)
  const texts = parts.filter(part => part.type === 'text')
  if (texts.length === 0) return []
  return [{ type: 'text', text: texts.map(({ text }) => text).join('\n'), ...(cache ? { cache } : {}) }]
}

function resultParts(result: Result, turn: Turn, written: Written): Result['parts'] {
  return result.parts.flatMap((part): Result['parts'] => {
    if (part.type === 'media') return mediaOf(part, turn, written) as Result['parts']
    if (part.type !== 'opaque' || part.dialect === 'messages') return [part]
    if (part.kind === 'object') return [{ type: 'text', text: part.json }]
    written.notes.drop(`${fieldsOf(written.ask).history}.${part.kind}`)
    return []
  })
}

function mediaOf(media: Media, { role }: Turn, { ask, notes }: Written): Part[] {
  const { history } = fieldsOf(ask)
  const { kind, at, mime, cache } = media
  if (kind === 'audio' || kind === 'video') notes.refuse(`${history}.${kind}`, `Claude takes no ${kind}`)
  // What an assistant drew, or was given, Claude takes from nobody but the user.
  if (role === 'assistant') {
    notes.drop(`${history}.${kind}`)
    return []
  }
  if (kind === 'document' && 'base64' in at && mime !== undefined && mime !== 'application/pdf') {
    if (!/^text\/|[/+](?:json|xml|yaml|csv)$/.test(mime))
      notes.refuse(`${history}.document`, `Claude takes documents of PDF and text, not ${mime.slice(0, 80)}`)
    return [
      {
        ...media,
        mime: 'text/plain',
        at: { text: Buffer.from(at.base64, 'base64').toString('utf8') },
        ...(cache ? { cache } : {}),
      },
    ]
  }
  return [media]
}

/** The messages of the request; a single text becomes a string when the breakpoints are written (`collapsed`). */
export function encodeTurns(turns: readonly Turn[], written: Written): { role: string; content: Block[] }[] {
  return turns.map(({ role, parts }) => ({ role, content: parts.map(part => blockOf(part, written)) }))
}

/** A text that is all there is, as a string. */
export function collapsed(blocks: readonly object[]): unknown {
  const [only] = blocks
  const alone = blocks.length === 1 && only && 'text' in only && Object.keys(only).length === 2
  return alone && 'type' in only && only.type === 'text' ? only.text : blocks
}

function blockOf(part: Part, written: Written): Block {
  const { names, breakpoints } = written
  const marked = (block: Block) => {
    breakpoints.mark(block, part.cache)
    return block
  }
  switch (part.type) {
    case 'text':
    case 'refusal':
      return marked({ type: 'text', text: part.text })
    case 'thought':
      return part.redacted
        ? { type: 'redacted_thinking', data: part.seal?.value ?? '' }
        : { type: 'thinking', thinking: part.text, signature: part.seal?.value ?? '' }
    case 'media':
      return marked(mediaBlock(part))
    case 'call':
      return marked({ type: 'tool_use', id: part.id, name: names.of(part), input: raw(inputOf(part)) })
    case 'result': {
      const inside = part.parts.findLast(one => one.cache)?.cache
      if (inside && !part.cache) return blockOf({ ...part, cache: inside }, written)
      const content = part.parts.map(one =>
        one.type === 'text' ? { type: 'text', text: one.text } : one.type === 'media' ? mediaBlock(one) : raw(one.json),
      )
      return marked({
        type: 'tool_result',
        tool_use_id: part.callId,
        ...(content.length === 0 ? {} : { content: collapsed(content) }),
        ...(part.error ? { is_error: true } : {}),
      })
    }
    case 'opaque':
      return raw(part.json) as unknown as Block
  }
}

/** JSON of an object, as it stood; what is none is kept under a name that says so. */
function inputOf({ input }: Call): string {
  if ('text' in input) return JSON.stringify({ input: input.text })
  const text = input.json.trim()
  if (text === '') return '{}'
  try {
    if (text.startsWith('{') && JSON.parse(text)) return input.json
  } catch {
    // Cut, or never meant to be read.
  }
  return JSON.stringify({ _raw: input.json })
}

function mediaBlock(media: Media): Block {
  const { kind, at, title } = media
  const named = kind === 'document' && title ? { title } : {}
  const type = kind === 'image' ? 'image' : 'document'
  if ('url' in at) return { type, source: { type: 'url', url: at.url }, ...named }
  if ('file' in at) return { type, source: { type: 'file', file_id: at.file }, ...named }
  if ('text' in at) return { type, source: { type: 'text', media_type: 'text/plain', data: at.text }, ...named }
  const media_type = mimeOf(media, at.base64) ?? 'application/pdf'
  return { type, source: { type: 'base64', media_type, data: at.base64 }, ...named }
}

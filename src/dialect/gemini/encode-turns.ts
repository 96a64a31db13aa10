// A conversation as Gemini's contents (spec/wire.md §4.1): roles in turn, calls and results in pairs, proofs where they belong.
import { parseExact, type Raw, raw } from '../json/exact.ts'
import { type AtUrl, isAtUrl, keyOfUrl } from '../middle/at-url.ts'
import type { Target } from '../middle/codec.ts'
import { fieldsOf } from '../middle/fields.ts'
import type { Ask, Call, Media, Opaque, Part, Result, Seal, Text, Turn } from '../middle/form.ts'
import { mimeOf } from '../middle/media.ts'
import type { WireNames } from '../middle/names.ts'
import type { Notes } from '../middle/notes.ts'
import { isGoodFor, keyOfText } from '../middle/seal.ts'
import { isOf } from '../middle/signs.ts'
import { begun, continued, type Repairs, repaired } from '../middle/turns.ts'
import { isGood, SKIP } from './proofs.ts'

export interface Encoding {
  ask: Ask
  target: Target
  notes: Notes
  names: WireNames
  /** what calls were named on the wire, by their ids: results have the same */
  called: Map<string, string>
}

type Written = Record<string, unknown>

const repairs: Repairs = { legal: 'a-zA-Z0-9_-', max: 64, prefix: 'call_', merge: ['user', 'assistant'], sealed: true }

export interface Conversation {
  system: string[]
  contents: Written[]
}

/** @param counted it is only counted, and need not end as one that is answered */
export function conversationOf(by: Encoding, counted = false): Conversation {
  const { ask, notes } = by
  const turns = [...ask.turns]
  const system = [...ask.system]
  // What is said before anything else is the system's instruction, whatever role it came in.
  while (turns[0]?.role === 'system') system.push(...turns.shift()!.parts.filter(isText))
  const cached = [...system, ...turns.flatMap(({ parts }) => parts), ...ask.tools].some(({ cache }) => cache)
  if (cached || ask.cache.auto) notes.drop(fieldsOf(ask).cache)
  const { turns: mended, said } = repaired(turns.map(inPlace), repairs)
  const rules = system.filter(({ text }) => text.trim() !== '' && !text.startsWith(BILLING))
  const complete = begun(mended, rules)
  const asking = by.target.facts.prefill || counted ? complete : continued(complete)
  if (asking !== complete) notes.change(fieldsOf(ask).history)
  return {
    system: rules.map(({ text }) => text),
    contents: asking
      .map(({ role, parts }) => ({
        role: role === 'assistant' ? 'model' : 'user',
        parts: role === 'assistant' ? modelParts(parts, by, said) : userParts(parts, by),
      }))
      .filter(({ parts }) => parts.length > 0),
  }
}

// It has the client's version in it, and is for Anthropic alone (spec/wire.md §4.1).
const BILLING = 'x-anthropic-billing-header:'

const isText = (part: Part): part is Text => part.type === 'text'

/** A word of the system in mid conversation is a reminder where it stands: moving it would change all that is cached behind it. */
function inPlace(turn: Turn): Turn {
  if (turn.role !== 'system') return turn
  const parts = turn.parts.map(part =>
    part.type === 'text' && part.text.trim() !== ''
      ? { ...part, text: `<system-reminder>\n${part.text}\n</system-reminder>` }
      : part,
  )
  return { role: 'user', parts }
}

// ---- the model's turns ----

function modelParts(parts: readonly Part[], by: Encoding, said: (id: string) => string): Written[] {
  const { ask, target, notes } = by
  const out: Written[] = []
  // Of reasoning that is not sent itself: the next part that can have it carries it.
  let pending: Seal | undefined
  let calls = 0
  for (const part of parts)
    switch (part.type) {
      case 'thought':
        if (target.seals && isGood(part.seal, target.issuer)) pending = part.seal
        // What Gemini shows of its thoughts is a summary without a proof, which it does not ask for again.
        else if (!isUnproven(part.seal, target)) notes.drop(fieldsOf(ask).thought)
        break
      case 'text': {
        const own = proofFor(part.seal, keyOfText(part.text), target) ?? pending
        if (part.text === '' && !own) break
        pending = undefined
        out.push({ text: part.text, ...signed(own?.value) })
        break
      }
      case 'call': {
        if (part.by) {
          notes.drop(`${fieldsOf(ask).history}.${part.name}`)
          break
        }
        const own = proofFor(part.seal, said(part.id), target) ?? pending
        pending = undefined
        const skip = calls++ === 0 && target.facts.callSeals ? SKIP : undefined
        out.push({ functionCall: callOf(part, by), ...signed(own?.value ?? skip) })
        break
      }
      default:
        out.push(...otherParts(part, by))
    }
  if (pending) out.push({ text: '', ...signed(pending.value) })
  return out
}

const isUnproven = (seal: Seal | undefined, { issuer }: Target) => seal?.value === '' && isGoodFor(seal, issuer)

const signed = (thoughtSignature: string | undefined) => (thoughtSignature === undefined ? {} : { thoughtSignature })

/** The part's own proof, or what was kept for a client that has no place for it. */
function proofFor(own: Seal | undefined, key: string, { seals, issuer, kept }: Target): Seal | undefined {
  if (!seals) return undefined
  if (isGood(own, issuer)) return own
  const known = kept(key)?.seal
  return isGood(known, issuer) ? known : undefined
}

function callOf(call: Call, { names, called }: Encoding): Written {
  const name = names.of(call)
  called.set(call.id, name)
  return { id: call.id, name, args: argsOf(call.input) }
}

/** Arguments are an object here: of anything else its text, under the name that a freeform tool has. */
function argsOf(input: Call['input']): unknown {
  if ('text' in input) return { input: input.text }
  return objectIn(input.json) ?? { input: input.json }
}

/** The text of an object as it stands; undefined for what is none. */
function objectIn(json: string): Raw | undefined {
  const text = json.trim()
  if (!text.startsWith('{')) return undefined
  try {
    parseExact(text)
    return raw(text)
  } catch {
    return undefined
  }
}

// ---- the user's turns ----

/** Results before all else: as many as there were calls. Media that no result may hold stands behind them. */
function userParts(parts: readonly Part[], by: Encoding): Written[] {
  const results: Written[] = []
  const beside: Written[] = []
  const rest: Written[] = []
  for (const part of parts)
    if (part.type === 'result' && !part.by) results.push(responseOf(part, by, beside))
    else if (part.type === 'text') rest.push(...(part.text === '' ? [] : [{ text: part.text }]))
    else rest.push(...otherParts(part, by))
  return [...results, ...beside, ...rest]
}

function responseOf(result: Result, by: Encoding, beside: Written[]): Written {
  const { names, called, target, ask, notes } = by
  const name = called.get(result.callId) ?? names.of({ name: result.name ?? 'tool' })
  const media = result.parts.filter(part => part.type === 'media')
  const inside = media.filter(one => !('text' in one.at)).flatMap(one => mediaOf(one, by))
  const written: Written = { id: result.callId, name, response: responseIn(result) }
  if (inside.length > 0 && target.facts.resultMedia) written['parts'] = inside
  else if (inside.length > 0) beside.push({ text: `From the result of ${name} (${result.callId}):` }, ...inside)
  for (const part of result.parts)
    if (part.type === 'opaque' && part.kind !== 'object') notes.drop(`${fieldsOf(ask).history}.${part.kind}`)
  return { functionResponse: written }
}

/** `output` and `error` are the documented keys; a JSON object is taken whole. */
function responseIn({ parts, error }: Result): unknown {
  const only = parts.length === 1 ? parts[0] : undefined
  if (!error && only?.type === 'opaque' && only.kind === 'object') return raw(only.json)
  const said = parts.map(textOf).filter(text => text !== '')
  const text = said.join('\n')
  if (error) return { error: text === '' ? 'failed' : text }
  return (said.length === 1 ? objectIn(text) : undefined) ?? { output: text }
}

function textOf(part: Text | Media | Opaque): string {
  if (part.type === 'text') return part.text
  if (part.type === 'opaque') return part.kind === 'object' ? part.json : ''
  return 'text' in part.at ? part.at.text : ''
}

// ---- what may stand in either ----

function otherParts(part: Part, by: Encoding): Written[] {
  const { ask, notes } = by
  switch (part.type) {
    case 'media':
      return mediaOf(part, by)
    case 'refusal':
      return part.text === '' ? [] : [{ text: part.text }]
    case 'result': {
      // Of a tool that another vendor ran: what it found is worth having all the same.
      const text = part.parts.map(textOf).filter(Boolean).join('\n')
      return text === '' ? [] : [{ text }]
    }
    case 'opaque':
      if (part.dialect === 'gemini') return [parseExact(part.json) as Written]
      notes.drop(`${fieldsOf(ask).history}.${part.kind}`)
      return []
    default:
      return []
  }
}

const titled = ({ title }: Media): Written[] => (title ? [{ text: `${title}:` }] : [])

function mediaOf(media: Media, by: Encoding): Written[] {
  const { ask, target, notes } = by
  const { at, kind } = media
  const field = `${fieldsOf(ask).history}.${kind}`
  if ('text' in at) return [...titled(media), { text: at.text }]
  if ('base64' in at)
    return [
      ...(kind === 'document' ? titled(media) : []),
      { inlineData: { mimeType: mimeOf(media, at.base64) ?? mimes[kind], data: at.base64 } },
    ]
  const mime = media.mime ? { mimeType: media.mime } : {}
  if ('file' in at)
    return ask.dialect === 'gemini' && target.own
      ? [{ fileData: { ...mime, fileUri: at.file } }]
      : notes.refuse(field, 'a file that lives at another vendor cannot be read by this account')
  if (isRead(at.url)) return [{ fileData: { ...mime, fileUri: at.url } }]
  return isAtUrl(media) ? fetchedOf(media, field, by) : []
}

/** What Gemini fetches itself. */
export const isRead = (url: string): boolean =>
  /^(?:https:\/\/(?:www\.|m\.)?youtube\.com\/|https:\/\/youtu\.be\/|gs:\/\/)/.test(url)

function fetchedOf(media: AtUrl, field: string, { target, notes }: Encoding): Written[] {
  const got = target.fetched?.get(keyOfUrl(media))
  if (!got) return notes.refuse(field, 'this account reads no addresses: send the bytes, as base64')
  if ('why' in got) return notes.refuse(field, got.why)
  const { fetchedMedia: taken } = target.facts
  if (taken && !taken.includes(got.mime)) {
    const may = taken.filter(type => isOf(media.kind, type)).join(', ')
    return notes.refuse(field, `what its URL gives is ${got.mime}, and this model takes ${may || `no ${media.kind}`}`)
  }
  return [...(media.kind === 'document' ? titled(media) : []), { inlineData: { mimeType: got.mime, data: got.base64 } }]
}

const mimes = { image: 'image/png', audio: 'audio/wav', video: 'video/mp4', document: 'application/pdf' }

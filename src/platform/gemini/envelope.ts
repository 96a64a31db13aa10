// The envelope of v1internal (spec/wire.md §3.5): what Code Assist and Antigravity put around the same requests and answers.
import { hash, randomUUID } from 'node:crypto'
import type { Body, Span } from '../../dialect/dialect.ts'
import { placeOf } from '../../dialect/gemini/place.ts'
import { StrippedStream, StrippedWhole } from '../../dialect/gemini/strip.ts'
import { JsonError, scanObject } from '../../dialect/json/scan.ts'
import { type Edit, edited, inOrder } from '../../dialect/peeking.ts'
import type { Envelope } from '../platform.ts'

export interface EnvelopeKind {
  /** '': it goes without one, as free tiers do */
  project: string
  /** what stands beside `model`, `project` and `request` */
  beside(): Record<string, string>
  /** the name of the session in the request */
  sessionField: 'session_id' | 'sessionId'
  /** edits that the request itself needs, beyond the envelope */
  edits?(body: Buffer, fields: ReadonlyMap<string, Span>): Edit[]
}

const wanted = new Set(['contents', 'session_id', 'sessionId', 'safetySettings', 'safety_settings', 'tools'])
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

export function envelopeOf(kind: EnvelopeKind): Envelope {
  return {
    request(body, { path, session }) {
      const { model, action } = placeOf(path)
      const said = body.pieces.length === 1 ? body.pieces[0]! : Buffer.concat(body.pieces, body.bytes)
      const fields = fieldsOf(said)
      if (action === 'countTokens') return counting(model, said, fields.get('contents'))
      const { project } = kind
      const head = JSON.stringify({ model, ...(project === '' ? {} : { project }), ...kind.beside() })
      const named = fields.has('session_id') || fields.has('sessionId')
      const within = inOrder([
        ...(session === '' || named ? [] : inserted(said, kind.sessionField, digestOf(session))),
        ...(kind.edits?.(said, fields) ?? []),
      ])
      const { length } = said
      return edited(said, [
        { start: 0, end: 0, text: `${head.slice(0, -1)},"request":` },
        ...within,
        { start: length, end: length, text: '}' },
      ])
    },
    answer: streaming => (streaming ? new StrippedStream() : new StrippedWhole()),
  }
}

/** The path for what is asked in an envelope: the model is inside. */
export function internalPath(path: string): string {
  if (path.startsWith('/v1internal:')) return path
  const { action } = placeOf(path)
  return `/v1internal:${action}${action === 'streamGenerateContent' ? '?alt=sse' : ''}`
}

// No project and no model beside it, and of the request what is counted (spec/wire-additions.md §3.5).
function counting(model: string, body: Buffer, contents: Span | undefined): Body {
  const said = contents ? body.subarray(contents.start, contents.end) : Buffer.from('[]')
  const { length } = said
  return edited(said, [
    { start: 0, end: 0, text: `{"request":{"model":${JSON.stringify(`models/${model}`)},"contents":` },
    { start: length, end: length, text: '}}' },
  ])
}

// Who uses it is nobody's business: only that it is the same one.
const digestOf = (session: string) => hash('sha256', `gw session ${session}`, 'hex').slice(0, 32)

function inserted(body: Buffer, name: string, value: string): Edit[] {
  const open = body.indexOf(OPEN_BRACE)
  if (open === -1) return []
  let next = open + 1
  while (next < body.length && body[next]! <= 0x20) next++
  const comma = body[next] === CLOSE_BRACE ? '' : ','
  return [{ start: open + 1, end: open + 1, text: `${JSON.stringify(name)}:${JSON.stringify(value)}${comma}` }]
}

function fieldsOf(body: Buffer): ReadonlyMap<string, Span> {
  try {
    return scanObject(body, wanted)
  } catch (error) {
    // A body that nobody can read is the upstream's to refuse.
    if (error instanceof JsonError) return new Map()
    throw error
  }
}

/** A new id for a request of an agent. */
export const agentRequest = () => `agent-${randomUUID()}`

/** A new id for a prompt. */
export const promptId = () => randomUUID()

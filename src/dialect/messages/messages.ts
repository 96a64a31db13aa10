// The Messages dialect (spec/wire.md §1).
import type { Failure } from '../../lib/failure.ts'
import type { Dialect } from '../dialect.ts'
import { proofReader } from '../proofs.ts'
import { messagesCodec } from './codec.ts'
import { messagesMeter } from './meter.ts'
import { peekMessages } from './peek.ts'
import { proofKeys } from './proofs.ts'
import { renameBody, renameFrame } from './rename.ts'
import { warmupAnswer, warmupFrames } from './warmup.ts'
import { asStream, MessageGatherer } from './whole.ts'

// Types of ours that this dialect names otherwise; the SDKs build their error classes from status and type.
const types: Record<string, string> = { upstream_error: 'api_error' }

export const messages: Dialect = {
  name: 'messages',

  peek: peekMessages,
  codec: messagesCodec,

  streamType: 'text/event-stream',

  // The official SDKs drop events without an event line, so a ping needs one too.
  ping: Buffer.from('event: ping\ndata: {"type":"ping"}\n\n'),

  error: (failure, requestId) => Buffer.from(JSON.stringify(envelope(failure, requestId))),

  errorFrame: (failure, requestId) =>
    Buffer.from(`event: error\ndata: ${JSON.stringify(envelope(failure, requestId))}\n\n`),

  asErrorFrame(body) {
    let error: unknown = { type: 'error', error: { type: 'api_error', message: 'The upstream refused the request.' } }
    try {
      const parsed: unknown = JSON.parse(body.toString('utf8'))
      if (typeof parsed === 'object' && parsed !== null && 'error' in parsed) error = parsed
    } catch {
      // HTML, say: its text is nothing a client could show.
    }
    return Buffer.from(`event: error\ndata: ${JSON.stringify(error)}\n\n`)
  },

  meter: messagesMeter,

  proofReader: () => proofReader(proofKeys),

  restored: (streaming, model) => (streaming ? restoredStream(model) : body => renameBody(body, model)),

  asStream,
  gatherer: () => new MessageGatherer(),

  models: names => ({
    object: 'list',
    data: names.map(modelObject),
    has_more: false,
    first_id: names[0] ?? null,
    last_id: names.at(-1) ?? null,
  }),
  model: modelObject,

  warmupAnswer,
  warmupFrames,
}

function envelope(failure: Failure, requestId: string): object {
  const type = types[failure.type] ?? failure.type
  return { type: 'error', error: { type, message: failure.message, code: failure.code }, request_id: requestId }
}

function modelObject(id: string): object {
  return { id, type: 'model', object: 'model', display_name: id, created_at: '2024-01-01T00:00:00Z' }
}

// Only message_start names a model, and it is the first event that counts: what comes after it is not looked at.
function restoredStream(model: string): (events: Buffer) => Buffer {
  let before = true
  return events => {
    if (!before || events.length === 0) return events
    const renamed = renameFrame(events, model)
    if (events.includes('message_start')) before = false
    return renamed
  }
}

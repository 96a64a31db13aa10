// The Messages dialect as clients of gw speak it (spec/wire.md §1).
import { Failure } from '../../lib/failure.ts'
import type { Dialect, Peek } from '../dialect.ts'
import { JsonError, type Span, scanObject } from '../json/scan.ts'
import { messagesMeter } from './meter.ts'
import { promptBytes } from './prompt.ts'
import { sessionFields } from './session.ts'

const wanted = new Set(['model', 'stream', 'max_tokens', 'speed', ...sessionFields])

// Types of ours that this dialect names otherwise; the SDKs build their error classes from status and type.
const types: Record<string, string> = { upstream_error: 'api_error' }

export const messages: Dialect = {
  name: 'messages',

  peek(body) {
    let found: Map<string, Span>
    try {
      found = scanObject(body, wanted)
    } catch (error) {
      if (error instanceof JsonError) throw new Failure('BODY_INVALID', [error.message], { cause: error })
      throw error
    }
    const modelSpan = found.get('model')
    if (!modelSpan) throw new Failure('MODEL_REQUIRED')
    const model = parse(body, modelSpan)
    if (typeof model !== 'string') throw new Failure('BODY_INVALID', ['model must be a string'])
    if (model === '') throw new Failure('MODEL_REQUIRED')
    // No name has these, and Postgres has no place for some of them: usage under such a name could not be written.
    if (/\p{Cc}/u.test(model) || !model.isWellFormed())
      throw new Failure('BODY_INVALID', ['model has a character that no name has'])
    const streamSpan = found.get('stream')
    const stream = streamSpan ? parse(body, streamSpan) : false
    if (typeof stream !== 'boolean') throw new Failure('BODY_INVALID', ['stream must be true or false'])
    const value = (name: string) => {
      const span = found.get(name)
      return span && parse(body, span)
    }
    const maxTokens = value('max_tokens')
    const speed = value('speed')
    return {
      model,
      modelSpan,
      stream,
      maxTokens: Number.isSafeInteger(maxTokens) && Number(maxTokens) >= 0 ? Number(maxTokens) : undefined,
      mode: typeof speed === 'string' && speed !== 'standard' ? speed : '',
      fields: found,
    } satisfies Peek
  },

  promptBytes: (body, peek) => promptBytes(body, peek.fields.get('messages')),

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
}

function envelope(failure: Failure, requestId: string): object {
  const type = types[failure.type] ?? failure.type
  return { type: 'error', error: { type, message: failure.message, code: failure.code }, request_id: requestId }
}

function parse(body: Buffer, span: Span): unknown {
  // A wanted value is a string or a boolean; anything long is neither and need not be built.
  if (span.end - span.start > 4096) return null
  try {
    return JSON.parse(body.toString('utf8', span.start, span.end))
  } catch {
    return null // the scan does not judge what stands in a string
  }
}

// The Responses dialect (spec/wire.md §2.2).
import type { Failure } from '../../lib/failure.ts'
import type { Dialect } from '../dialect.ts'
import { errorIn, openAiError } from '../openai-errors.ts'
import { openAiModel, openAiModels } from '../openai-models.ts'
import { renamedBody, renamedEvents } from '../renaming.ts'
import { responsesMeter } from './meter.ts'
import { peekResponses } from './peek.ts'

export const responses: Dialect = {
  name: 'responses',

  peek: peekResponses,

  streamType: 'text/event-stream',

  ping: Buffer.from(': keep-alive\n\n'),

  error: failure => Buffer.from(JSON.stringify({ error: openAiError(failure) })),

  errorFrame: (failure, requestId) => Buffer.from(failedFrames(openAiError(failure), codeOf(failure), requestId)),

  asErrorFrame: body => Buffer.from(failedFrames(errorIn(body), undefined, 'refused')),

  meter: responsesMeter,

  restored: (streaming, model) =>
    streaming
      ? events => renamedEvents(events, ['response', 'model'], model)
      : body => renamedBody(body, ['model'], model),

  asStream: () => undefined,
  gatherer: () => ({ push() {}, end: () => undefined }),

  models: openAiModels,
  model: openAiModel,

  // No request is taken for one.
  warmupAnswer: () => ({}),
  warmupFrames: () => [],
}

// By which Codex tells what may be tried again, and when.
const codes: Record<string, string> = {
  rate_limit_error: 'rate_limit_exceeded',
  overloaded_error: 'server_is_overloaded',
}
const codeOf = ({ type }: Failure) => codes[type] ?? 'server_error'

/**
 * The end of a stream that failed, as the vendor writes it: an error, at which the official SDK throws, and the failed response,
 * which is all that Codex listens for.
 */
export function failedFrames(error: object, code: string | undefined, requestId: string): string {
  const { code: told, message } = error as { code?: unknown; message?: unknown }
  const response = {
    id: `resp_${requestId}`,
    object: 'response',
    created_at: Math.floor(Date.now() / 1000),
    status: 'failed',
    error: { code: code ?? (typeof told === 'string' ? told : 'server_error'), message: String(message ?? '') },
    incomplete_details: null,
    output: [],
    usage: null,
  }
  return [
    { type: 'error', error },
    { type: 'response.failed', response },
  ]
    .map(event => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
    .join('')
}

// The Responses dialect (spec/wire.md §2.2).
import type { Failure } from '../../lib/failure.ts'
import type { Dialect } from '../dialect.ts'
import { errorIn, openAiError } from '../openai-errors.ts'
import { openAiModel, openAiModels } from '../openai-models.ts'
import { proofReader } from '../proofs.ts'
import { renamedBody, renamedEvents } from '../renaming.ts'
import { responsesCodec } from './codec.ts'
import { failedFrame, failedResponse } from './failed.ts'
import { responsesMeter } from './meter.ts'
import { peekResponses } from './peek.ts'
import { proofKeys } from './proofs.ts'
import { asStream, ResponseGatherer } from './whole.ts'

export const responses: Dialect = {
  name: 'responses',

  peek: peekResponses,

  codec: responsesCodec,

  streamType: 'text/event-stream',

  ping: Buffer.from(': keep-alive\n\n'),

  error: failure => Buffer.from(JSON.stringify({ error: openAiError(failure) })),

  errorFrame: (failure, requestId) =>
    Buffer.from(failedFrame(openAiError(failure), failedResponse(requestId, codeOf(failure), failure.message), 0)),

  asErrorFrame(body) {
    const error = errorIn(body)
    const { code, message } = error as { code?: unknown; message?: unknown }
    const said = failedResponse('refused', typeof code === 'string' ? code : 'server_error', String(message ?? ''))
    return Buffer.from(failedFrame(error, said, 0))
  },

  meter: responsesMeter,
  proofReader: () => proofReader(proofKeys),

  restored: (streaming, model) =>
    streaming
      ? events => renamedEvents(events, ['response', 'model'], model)
      : body => renamedBody(body, ['model'], model),

  asStream,
  gatherer: () => new ResponseGatherer(),

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

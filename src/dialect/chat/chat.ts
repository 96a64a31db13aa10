// The Chat Completions dialect (spec/wire.md §2.1).
import type { Dialect } from '../dialect.ts'
import { asStreamBy, gathererBy } from '../middle/same.ts'
import { errorIn, openAiError } from '../openai-errors.ts'
import { openAiModel, openAiModels } from '../openai-models.ts'
import { renamedBody, renamedEvents } from '../renaming.ts'
import { chatCodec } from './codec.ts'
import { chatMeter } from './meter.ts'
import { peekChat } from './peek.ts'

const frame = (error: object) => Buffer.from(`data: ${JSON.stringify({ error })}\n\n`)

export const chat: Dialect = {
  name: 'chat',

  peek: peekChat,

  codec: chatCodec,

  streamType: 'text/event-stream',

  ping: Buffer.from(': ping\n\n'),

  error: failure => Buffer.from(JSON.stringify({ error: openAiError(failure) })),

  // Without [DONE]: what failed has not ended well. The official SDK throws at it.
  errorFrame: failure => frame(openAiError(failure)),

  asErrorFrame: body => frame(errorIn(body)),

  meter: chatMeter,

  restored: (streaming, model) =>
    streaming ? events => renamedEvents(events, ['model'], model) : body => renamedBody(body, ['model'], model),

  asStream: body => asStreamBy(chatCodec, body),
  gatherer: () => gathererBy(chatCodec),

  models: openAiModels,
  model: openAiModel,

  // No request is taken for one.
  warmupAnswer: () => ({}),
  warmupFrames: () => [],
}

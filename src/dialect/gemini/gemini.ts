// The Gemini dialect (spec/wire.md §3).
import type { Dialect } from '../dialect.ts'
import { proofReader } from '../proofs.ts'
import { ArrayFraming, BETWEEN } from './array.ts'
import { geminiCodec } from './codec.ts'
import { errorLine, failureObject } from './errors.ts'
import { geminiMeter } from './meter.ts'
import { proofKeys } from './passing.ts'
import { peekGemini } from './peek.ts'
import { renameBody, renameEvents } from './rename.ts'
import { asStream, GeminiGatherer } from './whole.ts'

export const gemini: Dialect = {
  name: 'gemini',

  peek: (body, path) => peekGemini(body, path, geminiArray),

  codec: geminiCodec,

  streamType: 'text/event-stream',

  // A comment line ends the turn in Google's Go client ("invalid stream chunk") and stalls older JavaScript ones; a chunk without a part
  // makes the newest forget the turn. A text with nothing in it is taken by all of them: Google sends such itself.
  ping: Buffer.from('data: {"candidates":[{"content":{"role":"model","parts":[{"text":""}]},"index":0}]}\n\n'),

  error: (failure, requestId) => Buffer.from(JSON.stringify(failureObject(failure, requestId))),
  errorFrame: (failure, requestId) => Buffer.from(`data: ${JSON.stringify(failureObject(failure, requestId))}\n\n`),
  asErrorFrame: body => Buffer.from(`data: ${errorLine(body)}\n\n`),

  meter: geminiMeter,
  proofReader: () => proofReader(proofKeys),

  restored: (streaming, model) => (streaming ? events => renameEvents(events, model) : body => renameBody(body, model)),

  asStream,
  gatherer: () => new GeminiGatherer(),

  models: names => ({ models: names.map(modelObject) }),
  model: modelObject,

  warmupAnswer: model => ({ ...warmup(model, 'New Conversation') }),
  warmupFrames: model => [Buffer.from(`data: ${JSON.stringify(warmup(model, 'New Conversation'))}\n\n`)],
}

/** For who asks for a stream without `alt=sse`: the same, its events as the elements of one array. */
export const geminiArray: Dialect = {
  ...gemini,
  streamType: 'application/json',
  reframed: () => new ArrayFraming(),
  // White space may stand between any two elements, and before the first.
  ping: Buffer.from('\n'),
  errorFrame: (failure, requestId, begun) => last(JSON.stringify(failureObject(failure, requestId)), begun),
  asErrorFrame: (body, begun) => last(errorLine(body), begun),
}

const last = (element: string, begun = false) => Buffer.from(`${begun ? BETWEEN : '['}${element}]`)

function modelObject(id: string): object {
  return {
    name: `models/${id}`,
    baseModelId: id,
    displayName: id,
    supportedGenerationMethods: ['generateContent', 'countTokens', 'streamGenerateContent'],
  }
}

function warmup(model: string, text: string): object {
  return {
    candidates: [{ content: { role: 'model', parts: [{ text }] }, finishReason: 'STOP', index: 0 }],
    usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 2, totalTokenCount: 12 },
    modelVersion: model,
    responseId: 'gw_warmup',
  }
}

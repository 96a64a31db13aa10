// OpenAI, Chat Completions and Responses: which request is which.
import type { Head } from '../call.ts'
import type { Dialect } from '../dialect.ts'
import { chat } from './chat.ts'
import { outOfTurn, refusal } from './errors.ts'
import { embeddings, inputTokens, model, models } from './others.ts'
import { respond } from './responses.ts'

const routes = {
  '/v1/chat/completions': chat,
  '/v1/responses': respond,
  '/v1/responses/input_tokens': inputTokens,
  '/v1/embeddings': embeddings,
}

/** A path that Anthropic has, too: its clients say which version they speak, or bring their key in a header of their own. */
const isModels = ({ path, headers }: Head) =>
  (path === '/v1/models' || path.startsWith('/v1/models/')) &&
  headers.authorization !== undefined &&
  headers['anthropic-version'] === undefined &&
  headers['x-api-key'] === undefined

export const openai: Dialect = {
  idHeader: 'x-request-id',
  newId: n => `req_${n.toString(16).padStart(32, '0')}`,

  owns: head => Object.hasOwn(routes, head.path) || (isModels(head) && !head.path.includes(':')),

  answer(call, step) {
    const early = outOfTurn(call, step)
    if (early) return early
    if (isModels(call) && call.method === 'GET') return (call.path === '/v1/models' ? models : model)(call, step)
    if (call.method !== 'POST') return refusal(call, 405, `Method ${call.method} is not allowed here.`)
    if (call.model === '') return refusal(call, 400, 'you must provide a model parameter')
    return routes[call.path as keyof typeof routes](call, step)
  },
}

// OpenAI, Chat Completions and Responses: which request is which.
import type { Dialect } from '../dialect.ts'
import { chat } from './chat.ts'
import { outOfTurn, refusal } from './errors.ts'
import { respond } from './responses.ts'

const routes = { '/v1/chat/completions': chat, '/v1/responses': respond }

export const openai: Dialect = {
  idHeader: 'x-request-id',
  newId: n => `req_${n.toString(16).padStart(32, '0')}`,

  owns: ({ path }) => Object.hasOwn(routes, path),

  answer(call, step) {
    const early = outOfTurn(call, step)
    if (early) return early
    if (call.method !== 'POST') return refusal(call, 405, `Method ${call.method} is not allowed here.`)
    if (call.model === '') return refusal(call, 400, 'you must provide a model parameter')
    return routes[call.path as keyof typeof routes](call, step)
  },
}

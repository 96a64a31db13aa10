// Anthropic Messages: which request is which, and what a script makes of it.

import { verbatim, whole } from '../bytes.ts'
import type { Call } from '../call.ts'
import type { Dialect, Reply } from '../dialect.ts'
import type { Step } from '../step.ts'
import { errorBody, errorOf, refusal } from './errors.ts'
import { message } from './message.ts'
import { model, models } from './models.ts'
import { usageOf } from './usage.ts'

type Route = (call: Call, step: Step) => Reply

const routes: Record<string, Route> = {
  'POST /v1/messages': withModel(message),
  'POST /v1/messages/count_tokens': withModel((call, step) => {
    const input_tokens = usageOf(step, call.body.length, 0).input_tokens
    return { ...whole({ input_tokens }, step), keep: true }
  }),
  'GET /v1/models': models,
}

export const anthropic: Dialect = {
  idHeader: 'request-id',
  newId: n => `req_mock${String(n).padStart(10, '0')}`,

  // The only dialect so far, so it also answers for the paths that nobody knows.
  owns: () => true,

  answer(call, step) {
    if (call.credential === '') return refusal(call, 401, 'x-api-key header is required')
    if (step.body !== undefined)
      return verbatim(step.body, step, step.usage ? usageOf(step, call.body.length, 0) : null)
    const error = errorOf(step)
    if (error && !(call.stream && step.errorAt !== undefined))
      return whole(errorBody(error, call.id), step, null, error.status)
    if (call.fault !== null) return refusal(call, 400, `The request body is not valid JSON: ${call.fault}`)
    return routeOf(call)(call, step)
  },
}

function withModel(route: Route): Route {
  return (call, step) => (call.model === '' ? refusal(call, 400, 'model: Field required') : route(call, step))
}

function routeOf(call: Call): Route {
  const route = routes[`${call.method} ${call.path}`]
  if (route) return route
  if (call.method === 'GET' && call.path.startsWith('/v1/models/')) return model
  const known = Object.keys(routes).some(name => name.endsWith(` ${call.path}`))
  return known
    ? () => refusal(call, 405, 'Method Not Allowed', 'invalid_request_error')
    : () => refusal(call, 404, `Not found: ${call.path}`)
}

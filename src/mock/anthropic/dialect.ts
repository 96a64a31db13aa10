// Anthropic Messages: which request is which, and what a script makes of it.
import { whole } from '../bytes.ts'
import type { Call } from '../call.ts'
import type { Dialect, Reply } from '../dialect.ts'
import type { Step } from '../step.ts'
import { usageOf } from '../usage.ts'
import { outOfTurn, refusal } from './errors.ts'
import { message } from './message.ts'
import { model, models } from './models.ts'

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

  // Asked last, so it also answers for the paths that nobody knows.
  owns: () => true,

  answer: (call, step) => outOfTurn(call, step) ?? routeOf(call)(call, step),
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

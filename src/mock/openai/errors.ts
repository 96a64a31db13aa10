// The errors of OpenAI, the same in both of its dialects.
import { errorsOf } from '../errors.ts'

const request = 'invalid_request_error'

export const { errorOf, errorBody, refusal, outOfTurn } = errorsOf({
  known: {
    400: { type: request, message: 'Invalid request' },
    401: { type: request, message: 'Incorrect API key provided.', code: 'invalid_api_key' },
    403: { type: request, message: 'You are not allowed to use this model.', code: 'model_not_allowed' },
    404: { type: request, message: 'The model does not exist.', code: 'model_not_found' },
    429: { type: 'requests', message: 'Rate limit reached for requests.', code: 'rate_limit_exceeded' },
    500: { type: 'server_error', message: 'The server had an error while processing your request.' },
    503: { type: 'service_unavailable_error', message: 'The engine is currently overloaded.', code: 'overloaded' },
  },
  other: { type: 'server_error', message: 'An unexpected error has occurred.' },
  keyless: [401, "You didn't provide an API key."],
  body: ({ type, message, code = null, details }) => ({ error: { message, type, param: null, code, ...details } }),
})

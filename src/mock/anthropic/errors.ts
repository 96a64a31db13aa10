// The errors of Anthropic Messages: statuses, types and the envelope.
import { errorsOf } from '../errors.ts'

export const { errorOf, errorBody, refusal, outOfTurn } = errorsOf({
  known: {
    400: { type: 'invalid_request_error', message: 'Invalid request' },
    401: { type: 'authentication_error', message: 'invalid x-api-key' },
    402: { type: 'billing_error', message: 'Your credit balance is too low to access the Anthropic API.' },
    403: { type: 'permission_error', message: 'Your API key does not have permission to use the specified resource.' },
    404: { type: 'not_found_error', message: 'Not found' },
    408: { type: 'timeout_error', message: 'Request timed out' },
    413: { type: 'request_too_large', message: 'Request exceeds the maximum size' },
    429: { type: 'rate_limit_error', message: 'This request would exceed your rate limit.' },
    500: { type: 'api_error', message: 'Internal server error' },
    504: { type: 'timeout_error', message: 'Request timed out' },
    529: { type: 'overloaded_error', message: 'Overloaded' },
  },
  other: { type: 'api_error', message: 'An unexpected error has occurred' },
  keyless: [401, 'x-api-key header is required'],
  body: ({ type, message, details }, request_id) => ({
    type: 'error',
    error: { type, message, ...(details && { details }) },
    request_id,
  }),
})

// The errors of Gemini: statuses, their words and the envelope.
import { errorsOf } from '../errors.ts'

export const { errorOf, errorBody, refusal, outOfTurn } = errorsOf({
  known: {
    400: { type: 'INVALID_ARGUMENT', message: 'Request contains an invalid argument.' },
    401: { type: 'UNAUTHENTICATED', message: 'Request had invalid authentication credentials.' },
    403: { type: 'PERMISSION_DENIED', message: 'The caller does not have permission.' },
    404: { type: 'NOT_FOUND', message: 'Requested entity was not found.' },
    429: { type: 'RESOURCE_EXHAUSTED', message: 'Resource has been exhausted (e.g. check quota).' },
    499: { type: 'CANCELLED', message: 'The operation was cancelled.' },
    500: { type: 'INTERNAL', message: 'An internal error has occurred.' },
    503: { type: 'UNAVAILABLE', message: 'The model is overloaded. Please try again later.' },
    504: { type: 'DEADLINE_EXCEEDED', message: 'Deadline expired before operation could complete.' },
  },
  other: { type: 'UNKNOWN', message: 'An unexpected error has occurred.' },
  keyless: [403, "Method doesn't allow unregistered callers."],
  body: ({ status, type, message, details }) => ({
    error: { code: status, message, status: type, ...(details && { details: [details] }) },
  }),
})

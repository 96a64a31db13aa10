// What goes wrong at a server that speaks like OpenAI, read from its error objects and written as them.

import { kindOfStatus } from './middle/fault.ts'
import type { Fault, FaultKind } from './middle/form.ts'
import { errorIn, type OpenAiError } from './openai-errors.ts'

/** What a model says that refused without words. */
export const REFUSED = 'The model refused to answer.'

const byCode: Record<string, FaultKind> = {
  context_length_exceeded: 'tooLong',
  string_above_max_length: 'tooLong',
  model_not_found: 'notFound',
  insufficient_quota: 'quota',
  billing_hard_limit_reached: 'quota',
  usage_limit_reached: 'quota',
  rate_limit_exceeded: 'rateLimited',
  invalid_api_key: 'auth',
  server_is_overloaded: 'overloaded',
  slow_down: 'overloaded',
  invalid_encrypted_content: 'sealRefused',
}

// The word is a server's: none is to be found in what all objects have.
const kindOf = (word = '') => (Object.hasOwn(byCode, word) ? byCode[word] : undefined)

// Compatible servers say it in words of their own.
const tooLong = /maximum context length|context (?:window|length)|prompt is too long|too many (?:input )?tokens/i

/** An error object, or what a server sent in its place. `status` 0: it came inside an answer. */
export function faultOfError(error: unknown, status: number): Fault {
  const { message, code, type, param } = Object(error) as Partial<Record<keyof OpenAiError, unknown>>
  const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined)
  const said = text(message) ?? text(error) ?? 'The upstream refused the request.'
  const word = text(code)
  const kind =
    kindOf(word) ??
    kindOf(text(type)) ??
    ((status === 0 || status === 400 || status === 422) && tooLong.test(said) ? 'tooLong' : undefined) ??
    kindOfStatus(status) ??
    (status >= 500 || (status === 0 && type !== 'invalid_request_error') ? 'upstream' : 'invalid')
  const about = text(param)
  return { kind, message: said, ...(word ? { code: word } : {}), ...(about ? { param: about } : {}) }
}

/** An upstream's error body as a fault. */
export function readOpenAiFault(status: number, body: Buffer): Fault {
  return faultOfError(errorIn(body), status)
}

const written: Record<FaultKind, readonly [type: string, code: string | null]> = {
  invalid: ['invalid_request_error', null],
  tooLong: ['invalid_request_error', 'context_length_exceeded'],
  tooLarge: ['invalid_request_error', 'request_too_large'],
  auth: ['authentication_error', 'invalid_api_key'],
  forbidden: ['permission_error', null],
  notFound: ['not_found_error', null],
  payment: ['insufficient_quota', 'insufficient_quota'],
  rateLimited: ['rate_limit_error', 'rate_limit_exceeded'],
  quota: ['insufficient_quota', 'insufficient_quota'],
  overloaded: ['server_error', 'server_is_overloaded'],
  timeout: ['server_error', 'timeout'],
  upstream: ['server_error', null],
  sealRefused: ['invalid_request_error', 'invalid_encrypted_content'],
  truncated: ['server_error', null],
}

/** A fault as OpenAI's error object. */
export function openAiErrorOf({ kind, message, code, param }: Fault): OpenAiError {
  const [type, known] = written[kind]
  // Codes of ours are spelled so; another vendor's say nothing to a client of this one.
  const own = code !== undefined && /^[A-Z_]+$/.test(code) ? code : undefined
  return { message, type, param: param ?? null, code: own ?? known ?? code ?? null }
}

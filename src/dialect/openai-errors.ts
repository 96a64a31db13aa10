// Errors as OpenAI's dialects write them, whatever they are about.
import type { Failure } from '../lib/failure.ts'

export interface OpenAiError {
  message: string
  type: string
  param: string | null
  code: string | null
}

// Types of ours that this vendor names otherwise; the SDKs build their error classes from the status.
const types: Record<string, string> = { api_error: 'server_error', overloaded_error: 'server_error' }

/** A failure of ours as OpenAI's error object. */
export function openAiError({ message, type, param, code }: Failure): OpenAiError {
  return { message, type: types[type] ?? type, param: param ?? null, code }
}

/** The error object in a body; for what has none, one that says no more than that. */
export function errorIn(body: Buffer): object {
  try {
    const error: unknown = (JSON.parse(body.toString('utf8')) as { error?: unknown } | null)?.error
    if (typeof error === 'object' && error !== null) return error
    if (typeof error === 'string') return { message: error, type: 'server_error', param: null, code: null }
  } catch {
    // HTML, say: its text is nothing a client could show.
  }
  return { message: 'The upstream refused the request.', type: 'server_error', param: null, code: null }
}

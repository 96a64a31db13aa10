// What is refused, whatever the dialect whose envelope it comes in.
import { verbatim, whole } from './bytes.ts'
import type { Call } from './call.ts'
import type { Reply } from './dialect.ts'
import type { Step } from './step.ts'
import { usageOf } from './usage.ts'

/** What an error of a status says. */
export interface Known {
  type: string
  message: string
  /** A finer word than the type, where the vendor has one. */
  code?: string
}

/** An error as the vendor would say it. */
export interface Said extends Known {
  status: number
  details?: Record<string, unknown>
}

/** A vendor's way of saying no. */
export interface Manners {
  /** Where several statuses share a type, the first one is what the type alone stands for. */
  known: Record<number, Known>
  other: Known
  /** What is said to a request without a key. */
  keyless: [status: number, message: string]
  /** The body of an error. */
  body(said: Said, requestId: string): Record<string, unknown>
}

export interface Errors {
  /** The error a step asks for, or null when it asks for none. */
  errorOf(step: Step): Said | null
  errorBody(said: Said, requestId: string): Record<string, unknown>
  /** A refusal nobody scripted: the request itself is wrong. */
  refusal(call: Call, status: number, message: string, type?: string, code?: string): Reply
  /** What the step or the request leaves no choice about, or null when the request is to be answered. */
  outOfTurn(call: Call, step: Step): Reply | null
}

export function errorsOf({ known, other, keyless, body }: Manners): Errors {
  const of = (status: number) => ({ status, ...(known[status] ?? other) })
  const statusOf = (type: string | undefined) => {
    const found = Object.entries(known).find(([, error]) => error.type === type)
    return found ? Number(found[0]) : 500
  }

  const errors: Errors = {
    errorBody: body,
    errorOf({ status, error, errorAt }) {
      const good = status === undefined || (status >= 200 && status < 300)
      if (good && !error && errorAt === undefined) return null
      return { ...of(good ? statusOf(error?.type) : status), ...error }
    },
    refusal(call, status, message, type = of(status).type, code) {
      return whole(body({ ...of(status), type, message, ...(code && { code }) }, call.id), {}, null, status)
    },
    outOfTurn(call, step) {
      if (call.credential === '') return errors.refusal(call, ...keyless)
      if (step.body !== undefined)
        return verbatim(step.body, step, step.usage ? usageOf(step, call.body.length, 0) : null)
      const error = errors.errorOf(step)
      if (error && !(call.stream && step.errorAt !== undefined))
        return whole(body(error, call.id), step, null, error.status)
      if (call.fault !== null) return errors.refusal(call, 400, `The request body is not valid JSON: ${call.fault}`)
      return null
    },
  }
  return errors
}

// What upstreams write, read without trusting it.
import { parseExact } from '../json/exact.ts'
import { isNamed } from '../meter.ts'
import type { Fault, Head } from '../middle/form.ts'
import { faultOfError } from '../openai-faults.ts'

export type Fields = Record<string, unknown>

/** How a call opens; undefined for any other item. */
export function callOf({ type, call_id, id, name, namespace }: Fields): Head | undefined {
  if (type !== 'function_call' && type !== 'custom_tool_call') return undefined
  return {
    type: 'call',
    id: textIn(call_id) || textIn(id),
    name: textIn(name),
    ...(typeof namespace === 'string' && namespace !== '' ? { namespace } : {}),
    ...(type === 'custom_tool_call' ? { freeform: true } : {}),
  }
}

export const textIn = (value: unknown): string => (typeof value === 'string' ? value : '')

/** An error inside an answer, as a fault. */
export function faultOf(error: unknown): Fault {
  const fault = faultOfError(error, 0)
  // "Please try again in 1.2s."
  const [, seconds, unit] = /try again in (\d{1,6}(?:\.\d{1,6})?)\s?(ms|s)/i.exec(fault.message) ?? []
  if (!seconds) return fault
  return { ...fault, retryAfterMs: Math.ceil(Number(seconds) * (unit === 'ms' ? 1 : 1000)) }
}

/** JSON that is an object, with all its digits. */
export function exactly(data: string): Fields | undefined {
  try {
    const value = parseExact(data)
    return isNamed(value) ? (value as Fields) : undefined
  } catch {
    return undefined
  }
}

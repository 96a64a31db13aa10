// What a Google error says (spec/wire.md §3.4): status word, message, and the details that programs may go by. Never throws, whatever came.
import { decimal, instant, plausible, readError, type Said } from '../verdict.ts'

export interface GoogleError {
  said: Said
  /** the word of google.rpc.Code, or '' */
  status: string
  message: string
  /** ErrorInfo's, or '' */
  reason: string
  /** what is asked to be waited, ms; undefined: nothing is said */
  waitMs: number | undefined
  /** Unix ms at which a quota begins anew; undefined: nothing is said */
  resetAt: number | undefined
  /** of QuotaFailure: `GenerateRequestsPerDayPerProjectPerModel-FreeTier` … */
  quotaIds: readonly string[]
  /** the quota that refused is of one model */
  ofModel: boolean
  /** where the account's owner must go, or '' */
  link: string
  /** it has the shape of this API */
  api: boolean
}

type Fields = Record<string, unknown>

/** @param now Unix ms */
export function readGoogleError(body: string, now: number): GoogleError {
  const said = readError(body)
  const error = errorIn(body)
  const details = list(error?.['details'])
  const info = details.find(one => isType(one, 'ErrorInfo')) ?? details.find(one => typeof one['reason'] === 'string')
  const metadata = object(info?.['metadata'])
  const violations = details.filter(one => isType(one, 'QuotaFailure')).flatMap(one => list(one['violations']))
  const quotaIds = violations.map(one => text(one['quotaId'])).filter(id => id !== '')
  const delay = details.find(one => isType(one, 'RetryInfo'))?.['retryDelay']
  const message = error ? text(error['message']) : said.message
  const resets =
    durationMs(text(metadata['quotaResetDelay'])) ?? durationMs(worded(message, /\bresets? (?:in|after) ([\dhms.]+)/i))
  return {
    said,
    status: error ? text(error['status']) : '',
    message,
    reason: text(info?.['reason']),
    waitMs: durationMs(delay) ?? durationMs(worded(message, /\bplease retry in ([\d.]+ ?m?s)/i)),
    resetAt:
      instant(text(metadata['quotaResetTimeStamp']) || undefined, now) ??
      (resets === undefined ? undefined : plausible(now + resets, now)),
    quotaIds,
    ofModel:
      text(metadata['model']) !== '' ||
      quotaIds.some(id => /PerModel/i.test(id)) ||
      violations.some(one => text(object(one['quotaDimensions'])['model']) !== '') ||
      /, model: \S/.test(message),
    link: text(metadata['validation_url']) || linkIn(details),
    api: error !== undefined && (text(error['status']) !== '' || typeof error['code'] === 'number'),
  }
}

/** The error as an event tells it: its word, which is the reason where there is one, and its message. */
export function toldError(type: string, message: string, now: number): GoogleError {
  const read = readGoogleError(JSON.stringify({ error: { code: 0, message, status: type } }), now)
  return { ...read, reason: /^[A-Z][A-Z0-9_]+$/.test(type) ? type : '' }
}

/** `3.5s`, `391609.79s`, `161h39m41.3s`, `250ms`, or seconds and nanos of protobuf. */
export function durationMs(value: unknown): number | undefined {
  if (typeof value === 'object' && value !== null) {
    const { seconds, nanos = 0 } = value as { seconds?: unknown; nanos?: unknown }
    const number = (one: unknown) =>
      typeof one === 'number' || typeof one === 'string' ? decimal(String(one)) : undefined
    const whole = number(seconds ?? 0)
    return whole === undefined ? undefined : whole * 1000 + (number(nanos) ?? 0) / 1e6
  }
  if (typeof value !== 'string' || value === '') return undefined
  const said = value.trim().replace(/\.$/, '')
  if (!/^(?:\d{1,9}h)?(?:\d{1,9}m(?!s))?(?:\d{1,9}(?:\.\d{1,12})? ?(?:ms|s))?$/.test(said)) return undefined
  let ms = 0
  for (const [, number, unit] of said.matchAll(/([\d.]+) ?(ms|h|m|s)/g)) ms += Number(number) * unitMs[unit as 's']
  return ms > 0 ? ms : undefined
}
const unitMs = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 }

function errorIn(body: string): Fields | undefined {
  try {
    const whole: unknown = JSON.parse(body)
    // Errors of streams come in a list of one.
    const one = object(Array.isArray(whole) ? whole[0] : whole)
    return isFields(one['error']) ? one['error'] : undefined
  } catch {
    return cut(body)
  }
}

/** Of a body that was cut, what stands at its beginning, in the order in which Google writes it. */
function cut(body: string): Fields | undefined {
  const head =
    /^\s*\[?\s*\{\s*"error"\s*:\s*\{\s*"code"\s*:\s*(\d{3})\s*,\s*"message"\s*:\s*"((?:[^"\\]|\\.){0,2000})"(?:\s*,\s*"status"\s*:\s*"(\w+)")?/.exec(
      body,
    )
  if (!head) return undefined
  const rest = body.slice(head[0].length)
  const reason = /"reason"\s*:\s*"(\w+)"/.exec(rest)?.[1]
  const retryDelay = /"retryDelay"\s*:\s*"([\w.]+)"/.exec(rest)?.[1]
  const quotaId = /"quotaId"\s*:\s*"([\w.-]+)"/.exec(rest)?.[1]
  const details = [
    ...(reason ? [{ '@type': 'ErrorInfo', reason }] : []),
    ...(retryDelay ? [{ '@type': 'RetryInfo', retryDelay }] : []),
    ...(quotaId ? [{ '@type': 'QuotaFailure', violations: [{ quotaId }] }] : []),
  ]
  return { code: Number(head[1]), message: head[2]!.replace(/\\(.)/g, '$1'), status: head[3] ?? '', details }
}

function linkIn(details: readonly Fields[]): string {
  const links = details.filter(one => isType(one, 'Help')).flatMap(one => list(one['links']))
  return text(links[0]?.['url'])
}

const isType = (one: Fields, name: string) => text(one['@type']).split('.').at(-1) === name
const worded = (message: string, pattern: RegExp) => pattern.exec(message)?.[1] ?? ''
const text = (value: unknown): string => (typeof value === 'string' ? value : '')
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const object = (value: unknown): Fields => (isFields(value) ? value : {})
const list = (value: unknown): Fields[] => (Array.isArray(value) ? value.filter(isFields) : [])

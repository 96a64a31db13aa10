// What is asked of /ops/* and who answers: a table of paths, and the rules that hold for all of them.
import { formatUsd } from '../lib/money.ts'
import { Refusal, type RefusalKind } from '../lib/refusal.ts'
import { didYouMean } from '../lib/suggest.ts'

/** Gives what is sent as JSON; money (bigint) goes as decimal USD. `id` is what stood for `{id}` in the path. */
export type OpsRoute = (query: URLSearchParams, id: string) => Promise<unknown>

/** By path, which may end in `{id}`: `/ops/overview`, `/ops/explain/{id}`. */
export type OpsRoutes = Readonly<Record<string, OpsRoute>>

export interface OpsAnswer {
  status: number
  /** a JSON document */
  body: string
}

// Whoever looks at a board reads it again soon: better told at once that there is no answer.
const PATIENCE_MS = 5_000

/** Answers `target` (a path with its query), or gives undefined where no route is. Never throws. */
export async function answerOps(
  routes: OpsRoutes,
  target: string,
  patienceMs: number = PATIENCE_MS,
): Promise<OpsAnswer | undefined> {
  const [path = '', search = ''] = target.split(/\?(.*)/s)
  const found = find(routes, path)
  if (found === undefined) return undefined
  try {
    const work = found.route(new URLSearchParams(search), found.id)
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(() => late.reject(new Refusal('unreachable', SILENT)), patienceMs)
    const value = await Promise.race([work, late.promise]).finally(() => clearTimeout(timer))
    return { status: 200, body: opsJson(value) }
  } catch (error) {
    return refused(error)
  }
}

const SILENT = 'the database does not answer within 5 s; ask again, or see /readyz'

/** As it is sent: money as decimal USD, times as ISO 8601 in UTC. */
export const opsJson = (value: unknown): string => JSON.stringify(spelled(value))

/** The same with money as text. Before the JSON and not in its replacer, which makes that of a long history three times as slow. */
function spelled(value: unknown): unknown {
  if (typeof value === 'bigint') return formatUsd(value)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  if (Array.isArray(value)) return value.map(spelled)
  let copy: Record<string, unknown> | undefined
  for (const name in value) {
    const field = (value as Record<string, unknown>)[name]
    const said = spelled(field)
    if (said !== field) (copy ??= { ...value })[name] = said
  }
  return copy ?? value
}

/** What there is, for who asked for something else. */
export function nothingHere(path: string, routes: OpsRoutes): string {
  const all = ['/livez', '/readyz', '/metrics', '/ops/', '/ops/ws', ...Object.keys(routes)]
  return JSON.stringify({ error: `nothing is at ${path}${didYouMean(path, all)}; here are ${all.join(' ')}` })
}

function find(routes: OpsRoutes, path: string): { route: OpsRoute; id: string } | undefined {
  const exact = Object.hasOwn(routes, path) ? routes[path] : undefined
  if (exact !== undefined && !path.endsWith('{id}')) return { route: exact, id: '' }
  const slash = path.lastIndexOf('/') + 1
  const pattern = `${path.slice(0, slash)}{id}`
  if (slash === path.length || !Object.hasOwn(routes, pattern)) return undefined
  return { route: routes[pattern]!, id: decoded(path.slice(slash)) }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

const statuses: Partial<Record<RefusalKind, number>> = { usage: 400, missing: 404, conflict: 409, unreachable: 503 }

function refused(error: unknown): OpsAnswer {
  const of = (status: number, message: string) => ({ status, body: JSON.stringify({ error: message }) })
  if (error instanceof Refusal) return of(statuses[error.kind] ?? 500, error.message)
  const { code, message } = error as Error & { code?: unknown }
  // 57014: it was stopped at its time. Without a code of SQL it is the way to Postgres that failed.
  if (code === '57014') return of(503, SILENT)
  if (typeof code === 'string' && /^(08|57P|53)/.test(code)) return of(503, `the database refuses: ${message}`)
  if (typeof code === 'string' && /^E[A-Z]+$/.test(code)) return of(503, `the database is not reached: ${code}`)
  if (/timeout|terminated|ended/i.test(message)) return of(503, `the database is not reached: ${message}`)
  return of(500, message)
}

/**
 * The same answer for whoever asks the same within `ms`, and one query for all who ask at once. What was refused is asked
 * again.
 */
export function remembered(ms: number, route: OpsRoute, now = () => performance.now()): OpsRoute {
  const known = new Map<string, { until: number; value: Promise<unknown> }>()
  return (query, id) => {
    const sorted = new URLSearchParams(query)
    sorted.sort()
    const key = `${id}?${sorted}`
    const at = now()
    const before = known.get(key)
    if (before !== undefined && at < before.until) return before.value
    for (const [old, { until }] of known) if (until <= at || known.size >= MOST_REMEMBERED) known.delete(old)
    const value = route(query, id)
    const entry = { until: at + ms, value }
    known.set(key, entry)
    value.catch(() => void (known.get(key) === entry && known.delete(key)))
    return value
  }
}

// Filters make up any number of questions.
const MOST_REMEMBERED = 200

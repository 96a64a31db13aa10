// The routes there are: a table, and who finds the row for a method and a path.
import type { Platform } from '../../db/schema.ts'
import type { Dialect, DialectName } from '../../dialect/dialect.ts'
import { dialectNamed } from '../../dialect/table.ts'
import { Failure } from '../../lib/failure.ts'

/** What a route does. */
export type RouteKind = 'generate' | 'count' | 'models' | 'model' | 'usage'

export interface Route {
  readonly kind: RouteKind
  readonly dialect: DialectName
  readonly method: 'GET' | 'POST'
  /** `{model}` stands for a model's name, also one with slashes in it: `/v1beta/models/{model}:generateContent` */
  readonly path: string
  /** the platforms that speak its dialect; none for what is answered here */
  readonly platforms: readonly Platform[]
}

/** The table. A row added here and one in dialect/table.ts are all that a dialect needs to be served. */
export const routes: Route[] = [
  { kind: 'generate', dialect: 'messages', method: 'POST', path: '/v1/messages', platforms: ['anthropic'] },
  { kind: 'count', dialect: 'messages', method: 'POST', path: '/v1/messages/count_tokens', platforms: ['anthropic'] },
  { kind: 'models', dialect: 'messages', method: 'GET', path: '/v1/models', platforms: [] },
  { kind: 'model', dialect: 'messages', method: 'GET', path: '/v1/models/{model}', platforms: [] },
  { kind: 'usage', dialect: 'messages', method: 'GET', path: '/v1/usage', platforms: [] },
]

/** The route that a key's platform is reached by, for whoever came by another. */
export const routeOf: Record<Platform, string> = {
  anthropic: 'POST /v1/messages',
  openai: 'POST /v1/responses',
  gemini: 'POST /v1beta/models/{model}:generateContent',
  antigravity: 'POST /antigravity/v1/messages',
}

export interface Found {
  readonly route: Route
  readonly dialect: Dialect
  /** what `{model}` stood for, decoded; '' where the path has none */
  readonly model: string
}

interface Compiled {
  readonly found: Found
  /** before and after `{model}`; undefined for a path that is all there is */
  readonly around: readonly [string, string] | undefined
}

let compiledFrom = 0
const exact = new Map<string, Compiled>()
const patterns: Compiled[] = []

function compile(): void {
  for (; compiledFrom < routes.length; compiledFrom++) {
    const route = routes[compiledFrom]!
    const found = { route, dialect: dialectNamed(route.dialect), model: '' }
    const [before, after] = route.path.split('{model}')
    if (after === undefined) exact.set(route.path, { found, around: undefined })
    else patterns.push({ found, around: [before!, after] })
  }
}

/** What asks only whether we are here: some clients do at each start. Answered at the door, to GET and HEAD. */
export const probes: ReadonlySet<string> = new Set(['/', '/health'])

/** HEAD is served where GET is. @throws Failure NOT_FOUND, METHOD_NOT_ALLOWED */
export function findRoute(method: string, path: string): Found {
  if (compiledFrom < routes.length) compile()
  const known = exact.get(path)?.found ?? matched(path)
  const served = known?.route.method ?? (probes.has(path) ? 'GET' : undefined)
  if (!served) throw new Failure('NOT_FOUND', [`${method} ${path}`])
  if (!known || (method !== served && !(method === 'HEAD' && served === 'GET')))
    throw new Failure('METHOD_NOT_ALLOWED', [method, path, served], {
      fields: ['allow', served === 'GET' ? 'GET, HEAD' : served],
    })
  return known
}

function matched(path: string): Found | undefined {
  for (const { found, around } of patterns) {
    const [before, after] = around!
    if (path.length > before.length + after.length && path.startsWith(before) && path.endsWith(after))
      return { ...found, model: decoded(path.slice(before.length, path.length - after.length)) }
  }
  return undefined
}

/** The path by which an upstream is asked for its model. */
export function pathFor({ path }: Route, model: string): string {
  // What a path may hold stays as it is: `models/vendor/name`.
  return path.includes('{model}') ? path.replace('{model}', encodeURIComponent(model).replaceAll('%2F', '/')) : path
}

// What is no valid escape is no model's name either.
function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

/** Whose words an error is told in before its route is known, or where there is none: by the path's prefix. */
const tongues: readonly (readonly [prefix: string, dialect: DialectName])[] = [['/', 'messages']]

export function tongueOf(path: string): Dialect {
  const row = tongues.find(([prefix]) => path.startsWith(prefix))
  return dialectNamed(row?.[1] ?? 'messages')
}

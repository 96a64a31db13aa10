// The routes there are: a table, and who finds the row for a method and a path.
import type { IncomingMessage } from 'node:http'
import type { Platform } from '../../db/schema.ts'
import type { Dialect, DialectName } from '../../dialect/dialect.ts'
import { dialectNamed, dialects } from '../../dialect/table.ts'
import { Failure } from '../../lib/failure.ts'
import { inPath } from '../../lib/url-path.ts'

/** What a route does. */
export type RouteKind = 'generate' | 'count' | 'embed' | 'models' | 'model' | 'usage'

/** Whether it takes places and is billed; what is not stands beside the road (choose/beside.ts). */
export const isMetered = ({ kind }: Pick<Route, 'kind'>): boolean => kind === 'generate' || kind === 'embed'

export interface Route {
  readonly kind: RouteKind
  readonly dialect: DialectName
  readonly method: 'GET' | 'POST'
  /** `{model}` stands for a model's name, also one with slashes in it: `/v1beta/models/{model}:generateContent` */
  readonly path: string
  /** the only platforms that can answer it; absent: every one, as its dialect is translated for it */
  readonly platforms?: readonly Platform[]
  /** whatever the key's group serves, accounts of this platform are asked */
  readonly force?: Platform
  /** the path at an upstream of its dialect, where it is another */
  readonly upstream?: string
  /** the path is shared by several vendors, and this is one's */
  readonly shared?: boolean
}

const row = (
  kind: RouteKind,
  dialect: DialectName,
  method: Route['method'],
  path: string,
  more: Partial<Route> = {},
): Route => ({ kind, dialect, method, path, ...more })

// Google's newest SDK says v1, all others v1beta; and an action may follow a slash (spec/domain.md §2.1).
const gemini = (version: string): Route[] =>
  [':', '/'].flatMap(mark => {
    const at = (action: string) => {
      const upstream = `/${version}/models/{model}:${action}`
      return [`/${version}/models/{model}${mark}${action}`, mark === ':' ? {} : { upstream }] as const
    }
    return [
      row('generate', 'gemini', 'POST', ...at('generateContent')),
      row('generate', 'gemini', 'POST', ...at('streamGenerateContent')),
      row('count', 'gemini', 'POST', ...at('countTokens')),
      row('embed', 'gemini', 'POST', at('embedContent')[0], { ...at('embedContent')[1], platforms: ['gemini'] }),
      row('embed', 'gemini', 'POST', at('batchEmbedContents')[0], {
        ...at('batchEmbedContents')[1],
        platforms: ['gemini'],
      }),
    ]
  })

const served: Route[] = [
  row('generate', 'messages', 'POST', '/v1/messages'),
  row('count', 'messages', 'POST', '/v1/messages/count_tokens'),
  row('generate', 'responses', 'POST', '/v1/responses'),
  row('count', 'responses', 'POST', '/v1/responses/input_tokens'),
  row('generate', 'chat', 'POST', '/v1/chat/completions'),
  row('embed', 'chat', 'POST', '/v1/embeddings', { platforms: ['openai'] }),
  ...gemini('v1beta'),
  ...gemini('v1'),
  row('models', 'gemini', 'GET', '/v1beta/models'),
  row('model', 'gemini', 'GET', '/v1beta/models/{model}'),
  ...(['messages', 'chat', 'gemini'] as const).flatMap(dialect => [
    row('models', dialect, 'GET', '/v1/models', { shared: true }),
    row('model', dialect, 'GET', '/v1/models/{model}', { shared: true }),
  ]),
  row('usage', 'messages', 'GET', '/v1/usage'),
]

// The prefix by which a key of any group reaches its antigravity accounts.
const FORCED = '/antigravity'

/** The table. A row added here and one in dialect/table.ts are all that a dialect needs to be served. */
export const routes: Route[] = [
  ...served,
  row('generate', 'responses', 'POST', '/responses', { upstream: '/v1/responses' }),
  ...served
    .filter(({ kind }) => kind !== 'embed' && kind !== 'usage')
    .map(route => ({
      ...route,
      path: FORCED + route.path,
      upstream: route.upstream ?? route.path,
      force: 'antigravity' as const,
    })),
]

/** The routes by which a key can have answers, whatever its group serves; in words. */
export const generating =
  'POST /v1/messages, /v1/responses, /v1/chat/completions or /v1beta/models/{model}:generateContent'

export interface Found {
  readonly route: Route
  readonly dialect: Dialect
  /** what `{model}` stood for, decoded; '' where the path has none */
  readonly model: string
}

interface Compiled {
  readonly found: Found
  /** before and after `{model}` */
  readonly around: readonly [string, string]
}

let compiledFrom = 0
const exact = new Map<string, Found[]>()
// Those with something behind the model first: without it, that is a part of the name.
const patterns: Compiled[] = []

function compile(): void {
  for (; compiledFrom < routes.length; compiledFrom++) {
    const route = routes[compiledFrom]!
    const found = { route, dialect: dialectNamed(route.dialect), model: '' }
    const [before, after] = route.path.split('{model}')
    if (after === undefined) exact.set(route.path, [...(exact.get(route.path) ?? []), found])
    else if (after === '') patterns.push({ found, around: [before!, after] })
    else patterns.unshift({ found, around: [before!, after] })
  }
}

/** What asks only whether we are here: some clients do at each start. Answered at the door, to GET and HEAD. */
export const probes: ReadonlySet<string> = new Set(['/', '/health'])

/** HEAD is served where GET is. @throws Failure NOT_FOUND, METHOD_NOT_ALLOWED */
export function findRoute(req: IncomingMessage, path: string): Found {
  if (compiledFrom < routes.length) compile()
  const method = req.method ?? ''
  const known = exact.get(path) ?? matched(path)
  const wanted = method === 'HEAD' ? 'GET' : method
  for (const one of known)
    if (one.route.method === wanted && (!one.route.shared || one.route.dialect === vendorOf(req))) return one
  const served = known[0]?.route.method ?? (probes.has(path) ? 'GET' : undefined)
  if (!served || (method === 'POST' && action.test(path))) throw new Failure('NOT_FOUND', [unknown(method, path)])
  throw new Failure('METHOD_NOT_ALLOWED', [method, path, served], {
    fields: ['allow', served === 'GET' ? 'GET, HEAD' : served],
  })
}

const none: readonly Found[] = []

function matched(path: string): readonly Found[] {
  let first: Compiled['around'] | undefined
  const found: Found[] = []
  for (const { found: one, around } of patterns) {
    const [before, after] = around
    if (first && (first[0] !== before || first[1] !== after)) continue
    if (path.length > before.length + after.length && path.startsWith(before) && path.endsWith(after)) {
      first = around
      found.push({ ...one, model: decoded(path.slice(before.length, path.length - after.length)) })
    }
  }
  return found.length === 0 ? none : found
}

const action = /^(?:\/antigravity)?\/v1(?:beta)?\/models\/[^:]+:([A-Za-z]+)$/
// What Google's SDKs have beside it, and nobody translates.
const googles = /^\/v1(?:beta)?\/(interactions|decisions|cachedContents|tunedModels)\b|^\/v1beta\/(files)\b/
const compacting = /^(?:\/v1)?\/responses\/compact$/
const stored = /^(?:\/v1)?\/responses\//

function unknown(method: string, path: string): string {
  const of = (reason: string) => `${method} ${path}: ${reason}`
  const named = action.exec(path)?.[1]
  if (named)
    return of(`Unsupported action: ${named}; use generateContent, streamGenerateContent, countTokens or embedContent`)
  const [, beside, files] = googles.exec(path) ?? []
  const google = beside ?? files
  if (google) return of(`${google} are not served here; use models/{model}:generateContent`)
  if (compacting.test(path))
    return of('conversations are compacted by POST /v1/responses, with compaction_trigger as the last item')
  if (stored.test(path)) return of('responses are not stored here; send the whole conversation to POST /v1/responses')
  return `${method} ${path}`
}

/** The path by which an upstream of the route's dialect is asked for its model. */
export function pathFor({ path, upstream = path }: Route, model: string): string {
  // What a path may hold stays as it is: `models/vendor/name`.
  return upstream.includes('{model}') ? upstream.replace('{model}', () => inPath(model)) : upstream
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
const tongues: readonly (readonly [prefix: string, dialect: DialectName])[] = [
  ['/v1/messages', 'messages'],
  ['/v1/complete', 'messages'],
  ['/v1/usage', 'messages'],
  ['/v1/responses', 'responses'],
  ['/responses', 'responses'],
  ['/v1/chat/', 'chat'],
  ['/v1/embeddings', 'chat'],
  ['/v1/completions', 'chat'],
  ['/v1beta/', 'gemini'],
  ['/v1beta', 'gemini'],
  ['/v1internal', 'gemini'],
  ['/v1alpha/', 'gemini'],
]

/** The dialect for what has no route. */
export function tongueOf(req: Pick<IncomingMessage, 'headers' | 'url'>, path: string): Dialect {
  const plain = path.startsWith(`${FORCED}/`) ? path.slice(FORCED.length) : path
  const row = tongues.find(([prefix]) => plain.startsWith(prefix))
  const google = action.test(plain) || googles.test(plain)
  const name = row?.[1] ?? (google ? 'gemini' : plain.startsWith('/v1/') ? vendorOf(req) : 'messages')
  return dialects.get(name) ?? dialectNamed('messages')
}

/** Whose client it is, where a path is shared (spec/wire.md §0): by the headers that only its vendor's have. */
export function vendorOf({ headers, url }: Pick<IncomingMessage, 'headers' | 'url'>): DialectName {
  if (headers['x-goog-api-key'] !== undefined || headers['x-goog-api-client'] !== undefined) return 'gemini'
  if (headers['anthropic-version'] !== undefined || headers['x-api-key'] !== undefined) return 'messages'
  if (url !== undefined && /[?&]key=/.test(url)) return 'gemini'
  return 'chat'
}

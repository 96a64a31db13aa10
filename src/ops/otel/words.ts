// A request in the words of OpenTelemetry's conventions for HTTP and for generative AI. Never a prompt, a key or a credential.
import type { Attributes } from '@opentelemetry/api'
import type { AttemptRecord, Outcome } from '../../core/outcome.ts'
import { cacheWrites, promptTokens } from '../../dialect/usage.ts'

/** Of each attempt: `gcp.gen_ai` is whatever Google has behind Code Assist. */
const providers: Record<string, string> = {
  anthropic: 'anthropic',
  openai: 'openai',
  gemini: 'gcp.gemini',
  antigravity: 'gcp.gen_ai',
}

/** What is done: `chat` and its like of the conventions, and `count_tokens`, for which they have no word. */
export function operationOf({ route, dialect }: Pick<Outcome, 'route' | 'dialect'>): string {
  if (/embed/i.test(route)) return 'embeddings'
  if (/count_?tokens|input_tokens/i.test(route)) return 'count_tokens'
  return dialect === 'gemini' || route.includes('enerateContent') ? 'generate_content' : 'chat'
}

/** Of low cardinality: what metrics may have as attributes, too. */
export interface Named {
  operation: string
  provider: string
  /** as asked for, where it is one we know; '' else */
  model: string
}

export const providerOf = (platform: string): string => providers[platform] ?? platform

export function genAi({ operation, provider, model }: Named): Attributes {
  return {
    'gen_ai.operation.name': operation,
    'gen_ai.provider.name': provider,
    ...(model === '' ? {} : { 'gen_ai.request.model': model }),
  }
}

/** The class of an attempt's trouble, or its status; undefined when it answered well. */
export function attemptError({ kind, status, error }: AttemptRecord): string | undefined {
  if (kind !== '') return kind
  if (status >= 400) return String(status)
  return error === '' ? undefined : 'aborted'
}

/** Why a request failed: our code of it, or the status that was relayed; undefined when it went well. */
export function requestError(o: Outcome): string | undefined {
  if (o.code !== '') return o.code
  if (o.status >= 400) return String(o.status)
  return o.error === '' ? undefined : 'upstream_error'
}

export function serverAttributes(o: Outcome): Attributes {
  const { user, group } = o
  const error = requestError(o)
  return {
    'http.request.method': o.method,
    'url.path': o.path,
    'url.scheme': 'http',
    'http.response.status_code': o.status,
    'client.address': o.ip,
    'gw.request.id': o.id,
    'gw.queue.ms': o.waitedMs,
    ...(o.route === '' ? {} : { 'http.route': o.route }),
    ...(user === '' ? {} : { 'gw.user': user }),
    ...(group === null ? {} : { 'gw.group': group }),
    ...(o.firstTokenMs === 0 ? {} : { 'gw.first_token.ms': o.firstTokenMs }),
    ...(o.cost === 0n ? {} : { 'gw.cost.usd': Number(o.cost) / 1e9 }),
    ...(error === undefined ? {} : { 'error.type': error }),
  }
}

/** `last`: it is the one whose answer the client has, with what it used. */
export function attemptAttributes(o: Outcome, attempt: AttemptRecord, named: Named, last: boolean): Attributes {
  const error = attemptError(attempt)
  const { usage } = o
  const { cacheRead } = usage
  const written = cacheWrites(usage)
  return {
    ...genAi({ ...named, model: o.model }),
    'gw.account': attempt.account,
    ...(attempt.status === 0 ? {} : { 'http.response.status_code': attempt.status }),
    ...(error === undefined ? {} : { 'error.type': error }),
    ...(last && o.upstreamModel !== '' ? { 'gen_ai.response.model': o.upstreamModel } : {}),
    ...(last && o.metered
      ? {
          'gen_ai.usage.input_tokens': promptTokens(usage),
          'gen_ai.usage.output_tokens': usage.output,
          ...(cacheRead === 0 ? {} : { 'gen_ai.usage.cache_read.input_tokens': cacheRead }),
          ...(written === 0 ? {} : { 'gen_ai.usage.cache_creation.input_tokens': written }),
        }
      : {}),
  }
}

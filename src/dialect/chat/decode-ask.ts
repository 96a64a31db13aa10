// A client's Chat Completions request in the middle form (spec/wire.md §2.1).
import type { Ask, Held, Json, Thinking, Tool } from '../middle/form.ts'
import {
  countIn,
  type Fields,
  fieldsIn,
  flagIn,
  isFields,
  listIn,
  numberIn,
  readBody,
  textIn,
  wordOf,
  wrong,
} from '../middle/read.ts'
import { decodeMessages } from './decode-messages.ts'
import { cacheOf, exact, extOf, kept } from './own.ts'

/** @throws Failure BODY_INVALID */
export function decodeAsk(body: Buffer): Ask {
  const { model, stream, messages, tools, functions, tool_choice, function_call, ...rest } = readBody(body, kept)
  const { temperature, top_p, top_k, seed, presence_penalty, frequency_penalty, ...more } = rest
  const { max_completion_tokens, max_tokens, stop, response_format, reasoning_effort, ...others } = more
  const { prompt_cache_key, prompt_cache_options, service_tier, user, safety_identifier, ...beside } = others
  const { n, logprobs, top_logprobs, parallel_tool_calls, stream_options, web_search_options, ...unknown } = beside
  const held: Held[] = []
  const { system, turns } = decodeMessages(messages, held)
  const declared = toolsOf(tools, functions, web_search_options)
  const candidates = countIn(n, 'n') ?? 1
  const streams = flagIn(stream, 'stream') ?? false
  const usage = flagIn(fieldsIn(stream_options, 'stream_options')?.['include_usage'], 'stream_options.include_usage')
  const { format, description } = formatOf(fieldsIn(response_format, 'response_format'))
  const most = countIn(max_completion_tokens, 'max_completion_tokens') ?? countIn(max_tokens, 'max_tokens')
  const person = textIn(safety_identifier, 'safety_identifier') ?? textIn(user, 'user')
  const tier = tierOf(textIn(service_tier, 'service_tier'))
  const parallel = flagIn(parallel_tool_calls, 'parallel_tool_calls')
  const thinking = thinkingOf(textIn(reasoning_effort, 'reasoning_effort'))
  const caching = fieldsIn(prompt_cache_options, 'prompt_cache_options') ?? {}
  const likely = flagIn(logprobs, 'logprobs') ? (countIn(top_logprobs, 'top_logprobs') ?? 0) : undefined
  return {
    dialect: 'chat',
    model: textIn(model, 'model') ?? '',
    stream: streams,
    system,
    turns,
    ...choiceOf(tool_choice ?? function_call, declared),
    ...(parallel === undefined ? {} : { parallel }),
    ...(thinking ? { thinking } : {}),
    sampling: given({
      temperature: numberIn(temperature, 'temperature'),
      topP: numberIn(top_p, 'top_p'),
      topK: numberIn(top_k, 'top_k'),
      seed: numberIn(seed, 'seed'),
      presence: numberIn(presence_penalty, 'presence_penalty'),
      frequency: numberIn(frequency_penalty, 'frequency_penalty'),
    }),
    limits: { ...given({ maxTokens: most }), stop: stopOf(stop) },
    ...(format ? { format } : {}),
    cache: {
      ...given({ key: textIn(prompt_cache_key, 'prompt_cache_key') }),
      ...(caching['mode'] === 'explicit' ? { auto: false } : {}),
      ...(caching['ttl'] === '30m' || caching['ttl'] === '12h' ? { ttl: caching['ttl'] } : {}),
      ...(caching['prewarm'] === true ? { prewarm: true } : {}),
    },
    ...(tier ? { tier } : {}),
    ...(person === undefined ? {} : { endUser: person }),
    held,
    wants: {
      usage: usage === true || !streams,
      reasoning: true,
      ...given({ logprobs: likely }),
      ...(candidates > 1 ? { candidates } : {}),
    },
    ext: extOf({ ...unknown, 'response_format.json_schema.description': description }).ext ?? {},
  }
}

/** Without what is undefined. */
function given<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>
  }
}

const tierOf = (said: string | undefined) => (said === 'default' ? 'standard' : said === 'auto' ? undefined : said)

function stopOf(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return (listIn(value, 'stop') ?? []).map((one, n) => textIn(one, `stop.${n}`) ?? wrong(`stop.${n}`, 'a string'))
}

const efforts = new Set(['minimal', 'low', 'medium', 'high', 'xhigh', 'max'])

function thinkingOf(effort: string | undefined): Thinking | undefined {
  const params = { mode: 'reasoning_effort', effort: 'reasoning_effort' }
  if (effort === undefined) return undefined
  if (effort === 'none') return { mode: 'off', params }
  if (!efforts.has(effort)) wrong('reasoning_effort', `none, ${[...efforts].join(', ')}`)
  return { mode: 'auto', effort: effort as NonNullable<Thinking['effort']>, params }
}

function formatOf(said: Fields | undefined): { format?: Ask['format']; description?: unknown } {
  switch (said?.['type']) {
    case undefined:
    case 'text':
      return {}
    case 'json_object':
      return { format: { kind: 'json' } }
    case 'json_schema': {
      const at = 'response_format.json_schema'
      const { name, schema, strict, description } = fieldsIn(said['json_schema'], at) ?? wrong(at, 'an object')
      const called = textIn(name, `${at}.name`)
      const strictly = flagIn(strict, `${at}.strict`)
      if (schema === undefined) return { format: { kind: 'json' }, description }
      return {
        format: {
          kind: 'schema',
          schema: schema as Json,
          ...(called ? { name: called } : {}),
          ...(strictly === undefined ? {} : { strict: strictly }),
        },
        description,
      }
    }
    default:
      return wrong('response_format.type', 'text, json_object or json_schema')
  }
}

function toolsOf(tools: unknown, functions: unknown, search: unknown): Tool[] {
  const declared = (listIn(tools, 'tools') ?? []).map((tool, n) => toolOf(tool, `tools.${n}`))
  for (const [n, one] of (listIn(functions, 'functions') ?? []).entries())
    declared.push(functionOf(fieldsIn(one, `functions.${n}`) ?? wrong(`functions.${n}`, 'an object'), `functions.${n}`))
  const options = fieldsIn(search, 'web_search_options')
  if (options)
    declared.push({ kind: 'server', name: 'web_search_options', server: 'webSearch', ...extOf({ ...options }) })
  return declared
}

function toolOf(value: unknown, at: string): Tool {
  const said = fieldsIn(value, at) ?? wrong(at, 'an object')
  const { type, function: called, custom, ...rest } = said
  const cache = cacheOf(said)
  if (type === 'custom') {
    const { name, description, format } = fieldsIn(custom, `${at}.custom`) ?? wrong(`${at}.custom`, 'an object')
    const about = textIn(description, `${at}.custom.description`)
    return {
      kind: 'freeform',
      name: textIn(name, `${at}.custom.name`) ?? wrong(`${at}.custom.name`, 'there'),
      ...(about === undefined ? {} : { description: about }),
      ...grammarOf(format),
      ...cache,
    }
  }
  if (called !== undefined || type === 'function') {
    const fields = fieldsIn(called, `${at}.function`) ?? wrong(`${at}.function`, 'an object')
    return { ...functionOf(fields, `${at}.function`), ...cache }
  }
  const kind = textIn(type, `${at}.type`) ?? wrong(`${at}.type`, 'there')
  const server = kind.startsWith('web_search') ? 'webSearch' : kind
  return { kind: 'server', name: kind, server, ...extOf(rest) }
}

function functionOf({ name, description, parameters, strict, ...rest }: Fields, at: string): Tool {
  const about = textIn(description, `${at}.description`)
  const strictly = flagIn(strict, `${at}.strict`)
  return {
    kind: 'function',
    name: textIn(name, `${at}.name`) ?? wrong(`${at}.name`, 'there'),
    ...(about === undefined ? {} : { description: about }),
    ...(typeof parameters === 'string' && parameters !== 'null' ? { schema: parameters as Json } : {}),
    ...(strictly === undefined ? {} : { strict: strictly }),
    ...extOf(rest),
  }
}

/** Its grammar as text, and as this dialect has it. */
function grammarOf(format: unknown): { grammar?: string; ext?: Tool['ext'] & object } {
  if (!isFields(format) || format['type'] !== 'grammar' || !isFields(format['grammar'])) return {}
  const { syntax, definition } = format['grammar']
  return {
    grammar: `${wordOf(syntax)} grammar:\n${wordOf(definition)}`,
    ext: { chat: { format: exact(format) } },
  }
}

/** The choice, and the tools among which it is made. */
function choiceOf(value: unknown, tools: Tool[]): Pick<Ask, 'choice' | 'tools'> {
  if (value === undefined || value === null || value === 'auto') return { choice: 'auto', tools }
  if (value === 'none' || value === 'required') return { choice: value, tools }
  const said = fieldsIn(value, 'tool_choice')!
  // The older form names the function alone.
  const named = said['function'] ?? said['custom'] ?? (said['type'] === undefined ? said : undefined)
  if (isFields(named)) return { choice: { names: [nameIn(named, 'tool_choice.function')] }, tools }
  if (said['type'] !== 'allowed_tools') return wrong('tool_choice', 'none, auto, required or a tool that is named')
  const at = 'tool_choice.allowed_tools'
  const allowed = fieldsIn(said['allowed_tools'], at) ?? said
  const names = (listIn(allowed['tools'], `${at}.tools`) ?? []).map((one, n) => {
    const fields = fieldsIn(one, `${at}.tools.${n}`) ?? wrong(`${at}.tools.${n}`, 'an object')
    const { function: called, custom } = fields
    return nameIn(isFields(called) ? called : isFields(custom) ? custom : fields, `${at}.tools.${n}`)
  })
  if (allowed['mode'] === 'required') return { choice: { names }, tools }
  // Of the others the model is told nothing.
  return { choice: 'auto', tools: tools.filter(({ name }) => names.includes(name)) }
}

const nameIn = ({ name }: Fields, at: string) => textIn(name, `${at}.name`) ?? wrong(`${at}.name`, 'there')

// A client's Messages request in the middle form (spec/wire.md §1.3).
import type { Ask, Held, Json, Part, Text, Thinking, Tool, Turn } from '../middle/form.ts'
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
  words,
  wrong,
} from '../middle/read.ts'
import { decodeBlocks, textOf } from './decode-blocks.ts'
import { cacheOf, extOf, kept, ttlOf } from './own.ts'

/** @throws Failure BODY_INVALID */
export function decodeAsk(body: Buffer): Ask {
  const said = readBody(body, kept)
  const { model, stream, max_tokens, messages, system, tools, tool_choice, thinking, output_config, ...others } = said
  const {
    stop_sequences,
    temperature,
    top_p,
    top_k,
    metadata,
    service_tier,
    speed,
    cache_control,
    container,
    ...rest
  } = others
  const held: Held[] = []
  const { format, output_format, effort, configured, thread, unknown } = outputOf(output_config, rest)
  const choice = choiceOf(tool_choice)
  const thoughts = thinkingOf(thinking, effort)
  const maxTokens = countIn(max_tokens, 'max_tokens')
  const topP = numberIn(top_p, 'top_p')
  const topK = countIn(top_k, 'top_k')
  const temper = numberIn(temperature, 'temperature')
  const { user_id, ...labels } = fieldsIn(metadata, 'metadata') ?? {}
  const endUser = textIn(user_id, 'metadata.user_id')
  const tier = speed === 'fast' ? 'fast' : tierOf(textIn(service_tier, 'service_tier'))
  const caching = fieldsIn(cache_control, 'cache_control')
  const box = typeof container === 'string' ? container : isFields(container) ? container['id'] : undefined
  if (typeof box === 'string') held.push({ what: 'container', param: 'container', id: box })
  if (isFields(thread) || typeof thread === 'string')
    held.push({ what: 'thread', param: 'thread', id: wordOf(isFields(thread) ? thread['id'] : thread) })
  const turns = turnsOf(messages, held)
  const schema = fieldsIn(format ?? output_format, 'output_config.format')
  return {
    dialect: 'messages',
    model: textIn(model, 'model') ?? '',
    stream: flagIn(stream, 'stream') ?? false,
    system: systemOf(system),
    turns,
    tools: (listIn(tools, 'tools') ?? []).map((tool, n) => toolOf(tool, `tools.${n}`)),
    ...choice,
    ...(thoughts ? { thinking: thoughts } : {}),
    sampling: {
      ...(temper === undefined ? {} : { temperature: temper }),
      ...(topP === undefined ? {} : { topP }),
      ...(topK === undefined ? {} : { topK }),
    },
    limits: {
      ...(maxTokens === undefined ? {} : { maxTokens }),
      stop: (listIn(stop_sequences, 'stop_sequences') ?? []).map((one, n) => textIn(one, `stop_sequences.${n}`) ?? ''),
    },
    ...formatOf(schema),
    cache: caching ? { auto: true, ttl: ttlOf(caching) } : {},
    ...(tier ? { tier } : {}),
    ...(endUser === undefined ? {} : { endUser }),
    held,
    wants: { usage: true, reasoning: thoughts !== undefined && thoughts.mode !== 'off' && thoughts.show !== 'none' },
    ext: extOf({ ...unknown, ...configured, ...(Object.keys(labels).length > 0 ? { metadata: labels } : {}) }) ?? {},
  }
}

function outputOf(config: unknown, rest: Fields) {
  const { format, effort, ...more } = fieldsIn(config, 'output_config') ?? {}
  const { output_format, thread, ...unknown } = rest
  const configured = Object.fromEntries(Object.entries(more).map(([name, value]) => [`output_config.${name}`, value]))
  return { format, output_format, effort: textIn(effort, 'output_config.effort'), configured, thread, unknown }
}

function formatOf(said: Fields | undefined): Pick<Ask, 'format'> {
  if (!said) return {}
  const { schema, name } = said
  if (typeof schema !== 'string') return { format: { kind: 'json' } }
  return { format: { kind: 'schema', schema: schema as Json, ...(typeof name === 'string' ? { name } : {}) } }
}

const modes = words<Thinking['mode']>({
  enabled: 'budget',
  adaptive: 'auto',
  disabled: 'off',
  between_tools: 'betweenTools',
})
const shows = words<Thinking['show']>({ summarized: 'summary', omitted: 'none', updates: 'updates' })
const efforts = new Set(['minimal', 'low', 'medium', 'high', 'xhigh', 'max'])

function thinkingOf(value: unknown, effort: string | undefined): Thinking | undefined {
  const said = fieldsIn(value, 'thinking')
  if (effort !== undefined && !efforts.has(effort)) wrong('output_config.effort', [...efforts].slice(1).join(', '))
  const level = effort === undefined ? {} : { effort: effort as NonNullable<Thinking['effort']> }
  // The effort alone says how much, and leaves it to the model whether.
  if (!said)
    return effort === undefined ? undefined : { mode: 'auto', ...level, params: { effort: 'output_config.effort' } }
  const budget = countIn(said['budget_tokens'], 'thinking.budget_tokens')
  const show = shows[textIn(said['display'], 'thinking.display') ?? '']
  return {
    mode: modes[textIn(said['type'], 'thinking.type') ?? ''] ?? 'auto',
    ...(budget === undefined ? {} : { budget }),
    ...level,
    ...(show ? { show } : {}),
    params: { mode: 'thinking', effort: 'output_config.effort' },
  }
}

function choiceOf(value: unknown): Pick<Ask, 'choice' | 'parallel'> {
  const said = fieldsIn(value, 'tool_choice')
  const parallel = flagIn(said?.['disable_parallel_tool_use'], 'tool_choice.disable_parallel_tool_use')
  const beside = parallel === true ? { parallel: false } : {}
  switch (said?.['type']) {
    case 'any':
      return { choice: 'required', ...beside }
    case 'none':
      return { choice: 'none' }
    case 'tool':
      return {
        choice: { names: [textIn(said['name'], 'tool_choice.name') ?? wrong('tool_choice.name', 'there')] },
        ...beside,
      }
    default:
      return { choice: 'auto', ...beside }
  }
}

const tierOf = (said: string | undefined) => (said === 'standard_only' ? 'standard' : said)

// Claude Code's first block: for Anthropic's books, and no prompt (domain.md §10.1).
const BILLING = 'x-anthropic-billing-header:'

function systemOf(value: unknown): Text[] {
  if (typeof value === 'string') return value === '' ? [] : [{ type: 'text', text: value }]
  const blocks = listIn(value, 'system') ?? []
  return blocks
    .map((block, n) => textOf(fieldsIn(block, `system.${n}`) ?? wrong(`system.${n}`, 'a block'), `system.${n}`))
    .filter(({ text }) => !text.startsWith(BILLING))
}

const roles = new Set(['user', 'assistant', 'system'])

function turnsOf(value: unknown, held: Held[]): Turn[] {
  return (listIn(value, 'messages') ?? wrong('messages', 'a list')).map((message, n) => {
    const at = `messages.${n}`
    const { role, content, ...rest } = fieldsIn(message, at) ?? wrong(at, 'an object')
    if (typeof role !== 'string' || !roles.has(role)) wrong(`${at}.role`, 'user, assistant or system')
    const parts: Part[] =
      typeof content === 'string'
        ? [{ type: 'text', text: content }]
        : decodeBlocks(listIn(content, `${at}.content`) ?? [], `${at}.content`, held)
    const ext = extOf(rest)
    return { role: role as Turn['role'], parts, ...(ext ? { ext } : {}) }
  })
}

/** Types of tools that run at Anthropic or that it has taught its models, by what they begin with. */
const servers: readonly (readonly [begins: string, word: string])[] = [
  ['web_search', 'webSearch'],
  ['web_fetch', 'webFetch'],
  ['code_execution', 'codeExecution'],
  ['computer', 'computer'],
  ['mcp_toolset', 'mcp'],
  ['tool_search_tool', 'toolSearch'],
]

function toolOf(value: unknown, at: string): Tool {
  const said = fieldsIn(value, at) ?? wrong(at, 'an object')
  const { type, name, description, input_schema, strict, defer_loading, cache_control: _, ...rest } = said
  const cache = cacheOf(said, at)
  if (typeof type === 'string' && type !== 'custom') {
    const ext = extOf({ ...rest, type, name, input_schema })
    const server = servers.find(([begins]) => type.startsWith(begins))?.[1] ?? type
    return { kind: 'server', name: type, server, ...cache, ...(ext ? { ext } : {}) }
  }
  const text = textIn(description, `${at}.description`)
  const promised = flagIn(strict, `${at}.strict`)
  const ext = extOf(rest)
  return {
    kind: 'function',
    name: textIn(name, `${at}.name`) ?? wrong(`${at}.name`, 'there'),
    ...(text === undefined ? {} : { description: text }),
    ...(typeof input_schema === 'string' ? { schema: input_schema as Json } : {}),
    ...(promised === undefined ? {} : { strict: promised }),
    ...(flagIn(defer_loading, `${at}.defer_loading`) ? { deferred: true } : {}),
    ...cache,
    ...(ext ? { ext } : {}),
  }
}

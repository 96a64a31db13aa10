// A client's Responses request in the middle form (spec/wire.md §2.2).
import type { Ask, Effort, Ext, Held, Text, Thinking, Turn } from '../middle/form.ts'
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
  wrong,
} from '../middle/read.ts'
import { Conversation } from './decode-items.ts'
import { cacheTtl, choiceOf, toolsOf } from './decode-tools.ts'
import { exactFields } from './own.ts'

/** @throws Failure BODY_INVALID */
export function decodeAsk(body: Buffer): Ask {
  const {
    model,
    stream,
    instructions,
    input,
    tools,
    tool_choice,
    parallel_tool_calls,
    max_output_tokens,
    temperature,
    top_p,
    top_logprobs,
    reasoning,
    text,
    prompt_cache_key,
    prompt_cache_options,
    service_tier,
    safety_identifier,
    user,
    previous_response_id,
    conversation,
    prompt,
    background,
    ...rest
  } = readBody(body)
  const held: Held[] = []
  const hold = (what: Held['what'], id: unknown) => {
    const name = isFields(id) ? id['id'] : id
    held.push({ what, param: paramOf[what]!, id: typeof name === 'string' ? name : '' })
  }
  if (!isNothing(previous_response_id)) hold('previous', previous_response_id)
  if (!isNothing(conversation)) hold('conversation', conversation)
  if (!isNothing(prompt)) hold('prompt', prompt)
  if (background === true) hold('background', '')
  const said = new Conversation(held)
  said.take(input)
  const { system, turns } = opened(instructions, said.turns)
  const all = [...(listIn(tools, 'tools') ?? []).flatMap((tool, n) => toolsOf(tool, `tools.${n}`)), ...said.tools]
  const thinking = thinkingOf(fieldsIn(reasoning, 'reasoning'), rest)
  const format = formatOf(fieldsIn(text, 'text'), rest)
  const cache = cacheOf(textIn(prompt_cache_key, 'prompt_cache_key'), prompt_cache_options, rest)
  const choice = choiceOf(tool_choice)
  if (choice.unsaid) rest['tool_choice'] = tool_choice
  const parallel = flagIn(parallel_tool_calls, 'parallel_tool_calls')
  const maxTokens = countIn(max_output_tokens, 'max_output_tokens')
  const temper = numberIn(temperature, 'temperature')
  const topP = numberIn(top_p, 'top_p')
  const logprobs = countIn(top_logprobs, 'top_logprobs')
  const tier = tierOf(textIn(service_tier, 'service_tier'))
  const endUser = textIn(safety_identifier, 'safety_identifier') ?? textIn(user, 'user')
  return {
    dialect: 'responses',
    model: textIn(model, 'model') ?? '',
    stream: flagIn(stream, 'stream') ?? false,
    system,
    turns,
    tools: all,
    choice: said.compacts ? 'none' : choice.choice,
    ...(parallel === undefined ? {} : { parallel }),
    ...(thinking ? { thinking } : {}),
    sampling: {
      ...(temper === undefined ? {} : { temperature: temper }),
      ...(topP === undefined ? {} : { topP }),
    },
    limits: { ...(maxTokens === undefined ? {} : { maxTokens }), stop: [] },
    ...(format ? { format } : {}),
    cache,
    ...(tier === undefined ? {} : { tier }),
    ...(endUser === undefined ? {} : { endUser }),
    held,
    wants: {
      usage: true,
      reasoning: thinking !== undefined && thinking.show === 'summary',
      ...(logprobs ? { logprobs } : {}),
      ...(said.compacts ? { compaction: true } : {}),
    },
    ext: extOf(rest),
  }
}

const isNothing = (value: unknown) => value === undefined || value === null

const paramOf: Partial<Record<Held['what'], string>> = {
  previous: 'previous_response_id',
  conversation: 'conversation',
  prompt: 'prompt',
  background: 'background',
}

/** What developers say before anything else is the system's, as the instructions are. */
function opened(instructions: unknown, turns: readonly Turn[]): { system: Text[]; turns: Turn[] } {
  const system: Text[] = []
  if (typeof instructions === 'string') {
    if (instructions !== '') system.push({ type: 'text', text: instructions })
  } else if (!isNothing(instructions)) wrong('instructions', 'a string')
  let begun = 0
  for (const { role, parts } of turns) {
    if (role !== 'system' || !parts.every(part => part.type === 'text')) break
    system.push(...(parts as Text[]))
    begun++
  }
  return { system, turns: turns.slice(begun) }
}

const efforts = new Set(['minimal', 'low', 'medium', 'high', 'xhigh', 'max'])

function thinkingOf(said: Fields | undefined, rest: Fields): Thinking | undefined {
  if (!said) return undefined
  const { effort, summary, generate_summary, ...others } = said
  for (const [name, value] of Object.entries(others)) rest[`reasoning.${name}`] = value
  const level = textIn(effort, 'reasoning.effort')
  if (level !== undefined && level !== 'none' && !efforts.has(level))
    wrong('reasoning.effort', `none, ${[...efforts].join(', ')}`)
  const shown = textIn(summary, 'reasoning.summary') ?? textIn(generate_summary, 'reasoning.generate_summary')
  return {
    mode: level === 'none' ? 'off' : 'auto',
    ...(level === undefined || level === 'none' ? {} : { effort: level as Effort }),
    show: shown === undefined ? 'none' : 'summary',
    params: { mode: 'reasoning.effort', effort: 'reasoning.effort' },
  }
}

function formatOf(text: Fields | undefined, rest: Fields): Ask['format'] {
  const { format, ...others } = text ?? {}
  for (const [name, value] of Object.entries(others)) rest[`text.${name}`] = value
  const said = fieldsIn(format, 'text.format')
  if (!said) return undefined
  const { type, name, schema, strict, description } = said
  if (type === 'json_object') return { kind: 'json' }
  if (type !== 'json_schema') return undefined
  if (!isNothing(description)) rest['text.format.description'] = description
  const called = textIn(name, 'text.format.name')
  const exact = flagIn(strict, 'text.format.strict')
  return {
    kind: 'schema',
    schema: exactFields(fieldsIn(schema, 'text.format.schema') ?? {}),
    ...(called === undefined ? {} : { name: called }),
    ...(exact === undefined ? {} : { strict: exact }),
  }
}

function cacheOf(key: string | undefined, options: unknown, rest: Fields): Ask['cache'] {
  const { ttl, prewarm, mode, ...others } = fieldsIn(options, 'prompt_cache_options') ?? {}
  for (const [name, value] of Object.entries(others)) rest[`prompt_cache_options.${name}`] = value
  // Implicit is what everybody else does, too.
  if (mode === 'explicit') rest['prompt_cache_options.mode'] = mode
  const kept = cacheTtl(ttl)
  return {
    ...(key === undefined ? {} : { key }),
    ...(kept === 'default' ? {} : { ttl: kept }),
    ...(prewarm === true ? { prewarm } : {}),
  }
}

const tierOf = (said: string | undefined) => (said === 'default' ? 'standard' : said === 'auto' ? undefined : said)

function extOf(rest: Fields): Ext {
  const fields = Object.entries(rest).filter(([, value]) => !isNothing(value))
  if (fields.length === 0) return {}
  return { responses: Object.fromEntries(fields.map(([name, value]) => [name, exactFields(value)])) }
}

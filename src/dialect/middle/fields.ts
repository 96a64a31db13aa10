// What each dialect calls the things of the form: for the tokens of what a translation leaves out or changes.
import type { Ask, DialectName } from './form.ts'
import type { Notes } from './notes.ts'

/** What an encoder may have to leave out, change or refuse, by the client's name for it. */
export interface Fields {
  temperature: string
  topP: string
  topK: string
  seed: string
  presence: string
  frequency: string
  maxTokens: string
  stop: string
  choice: string
  parallel: string
  strict: string
  /** of a tool's input */
  toolSchema: string
  /** of a freeform tool: its grammar */
  grammar: string
  format: string
  schema: string
  /** a breakpoint of the cache */
  cache: string
  cacheKey: string
  cacheTtl: string
  prewarm: string
  tier: string
  endUser: string
  candidates: string
  logprobs: string
  /** before the kind of a part of the conversation: `messages`, `input` */
  history: string
  /** reasoning in the conversation */
  thought: string
  system: string
}

const openai = {
  temperature: 'temperature',
  topP: 'top_p',
  topK: 'top_k',
  seed: 'seed',
  presence: 'presence_penalty',
  frequency: 'frequency_penalty',
  stop: 'stop',
  choice: 'tool_choice',
  parallel: 'parallel_tool_calls',
  strict: 'tools.strict',
  grammar: 'tools.format',
  cache: 'prompt_cache_breakpoint',
  cacheKey: 'prompt_cache_key',
  cacheTtl: 'prompt_cache_options.ttl',
  prewarm: 'prompt_cache_options.prewarm',
  tier: 'service_tier',
}

const fields: Record<DialectName, Fields> = {
  messages: {
    ...openai,
    maxTokens: 'max_tokens',
    toolSchema: 'tools.input_schema',
    stop: 'stop_sequences',
    format: 'output_config.format',
    schema: 'output_config.format.schema',
    cache: 'cache_control',
    cacheKey: 'cache_control',
    cacheTtl: 'cache_control.ttl',
    prewarm: 'max_tokens',
    endUser: 'metadata.user_id',
    candidates: 'n',
    logprobs: 'logprobs',
    history: 'messages',
    thought: 'messages.thinking',
    system: 'system',
  },
  chat: {
    ...openai,
    maxTokens: 'max_completion_tokens',
    toolSchema: 'tools.function.parameters',
    format: 'response_format',
    schema: 'response_format.json_schema.schema',
    endUser: 'user',
    candidates: 'n',
    logprobs: 'logprobs',
    history: 'messages',
    thought: 'messages.reasoning_content',
    system: 'messages.system',
  },
  responses: {
    ...openai,
    maxTokens: 'max_output_tokens',
    toolSchema: 'tools.parameters',
    format: 'text.format',
    schema: 'text.format.schema',
    endUser: 'safety_identifier',
    candidates: 'n',
    logprobs: 'top_logprobs',
    history: 'input',
    thought: 'input.reasoning',
    system: 'instructions',
  },
  gemini: {
    temperature: 'generationConfig.temperature',
    topP: 'generationConfig.topP',
    topK: 'generationConfig.topK',
    seed: 'generationConfig.seed',
    presence: 'generationConfig.presencePenalty',
    frequency: 'generationConfig.frequencyPenalty',
    maxTokens: 'generationConfig.maxOutputTokens',
    toolSchema: 'tools.functionDeclarations.parameters',
    stop: 'generationConfig.stopSequences',
    choice: 'toolConfig.functionCallingConfig',
    parallel: 'toolConfig.functionCallingConfig',
    strict: 'toolConfig.functionCallingConfig',
    grammar: 'tools.format',
    format: 'generationConfig.responseMimeType',
    schema: 'generationConfig.responseJsonSchema',
    cache: 'cachedContent',
    cacheKey: 'cachedContent',
    cacheTtl: 'cachedContent',
    prewarm: 'generationConfig.maxOutputTokens',
    tier: 'serviceTier',
    endUser: 'labels',
    candidates: 'generationConfig.candidateCount',
    logprobs: 'generationConfig.responseLogprobs',
    history: 'contents',
    thought: 'contents.thought',
    system: 'systemInstruction',
  },
}

/** The names that the client's dialect has: `ask.dialect`. */
export function fieldsOf({ dialect, tier }: { dialect: DialectName; tier?: string | undefined }): Fields {
  return dialect === 'messages' && tier === 'fast' ? fast : fields[dialect]
}

/** Names what was asked of likelihoods: Chat asks for them, and for how many, apart. */
export function dropLogprobs({ dialect, wants }: Pick<Ask, 'dialect' | 'wants'>, notes: Notes): void {
  if (wants.logprobs === undefined) return
  notes.drop(fields[dialect].logprobs)
  if (dialect === 'chat' && wants.logprobs > 0) notes.drop('top_logprobs')
  if (dialect === 'gemini' && wants.logprobs > 0) notes.drop('generationConfig.logprobs')
}

// Claude has a word of its own for one of its tiers.
const fast: Fields = { ...fields.messages, tier: 'speed' }

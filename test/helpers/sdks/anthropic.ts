// Anthropic's own client.
import Anthropic, { APIError } from '@anthropic-ai/sdk'
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod'
import type { ContentBlockParam, Message, MessageParam, ToolUseBlock } from '@anthropic-ai/sdk/resources/messages'
import type { Client, Door, Result, Turn } from './client.ts'
import { lookSchema, weather } from './look.ts'

const sdk = ({ url, key, retries, fetch }: Door) =>
  new Anthropic({ baseURL: url, apiKey: key, maxRetries: retries, fetch })

export const anthropic: Client = {
  model: 'claude-opus-4-8',
  async ask(door, { model, stream, turns, tools, thinking, signal, onText }) {
    const { messages } = sdk(door)
    const body = {
      model,
      max_tokens: 1024,
      messages: turns.map(turn),
      ...(thinking ? { thinking: { type: 'adaptive' as const } } : {}),
      ...(tools ? { tools: [{ name: 'look', description: 'Looks.', input_schema: lookSchema }] } : {}),
    }
    const options = signal ? { signal } : {}
    const message = stream
      ? await messages
          .stream(body, options)
          .on('text', text => onText?.(text))
          .finalMessage()
      : await messages.create(body, options)
    return told(message)
  },
  async parse(door, model, stream) {
    const { messages } = sdk(door)
    const body = {
      model,
      max_tokens: 1024,
      messages: [{ role: 'user' as const, content: 'weather' }],
      output_config: { format: zodOutputFormat(weather) },
    }
    const message = stream ? await messages.stream(body).finalMessage() : await messages.parse(body)
    return message.parsed_output
  },
  async count(door, model) {
    const messages = [{ role: 'user' as const, content: 'weather' }]
    return (await sdk(door).messages.countTokens({ model, messages })).input_tokens
  },
  list: async door => (await sdk(door).models.list({ limit: 1000 })).data.map(({ id }) => id),
  caught(error) {
    if (!(error instanceof APIError)) return { kind: (error as Error).constructor.name, status: undefined }
    const { status, headers } = error
    return { kind: error.constructor.name, status, retryAfter: headers?.get('retry-after') ?? undefined }
  },
  stops: { end: 'end_turn', calls: 'tool_use', length: 'max_tokens', refused: 'refusal', blocked: 'refusal' },
  errors: {
    invalid: 'BadRequestError',
    key: 'AuthenticationError',
    missing: 'NotFoundError',
    limited: 'RateLimitError',
    overloaded: 'ServiceUnavailableError',
    broken: 'APIError',
    aborted: 'APIUserAbortError',
  },
}

function told(message: Message) {
  const { content, usage, stop_reason } = message
  const cached = usage.cache_read_input_tokens ?? 0
  return {
    text: content.flatMap(block => (block.type === 'text' ? [block.text] : [])).join(''),
    calls: content
      .filter((block): block is ToolUseBlock => block.type === 'tool_use')
      .map(({ id, name, input }) => ({ id, name, input })),
    thought: content.flatMap(block => (block.type === 'thinking' ? [block.thinking] : [])).join(''),
    model: message.model,
    stop: String(stop_reason),
    usage: {
      input: usage.input_tokens + cached + (usage.cache_creation_input_tokens ?? 0),
      output: usage.output_tokens,
      cached,
    },
    kept: content,
  }
}

function turn(one: Turn): MessageParam {
  if ('user' in one)
    return {
      role: 'user',
      content: one.image ? [{ type: 'text', text: one.user }, picture(one.image)] : one.user,
    }
  if ('answer' in one) return { role: 'assistant', content: one.answer.kept as ContentBlockParam[] }
  return { role: 'user', content: one.results.map(result) }
}

const picture = (data: string) => ({
  type: 'image' as const,
  source: { type: 'base64' as const, media_type: 'image/png' as const, data },
})

const result = ({ call, text, error, image }: Result): ContentBlockParam => ({
  type: 'tool_result',
  tool_use_id: call.id,
  ...(error ? { is_error: true } : {}),
  content: image ? [{ type: 'text', text }, picture(image)] : text,
})

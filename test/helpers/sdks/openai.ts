// OpenAI's own client, in both of its dialects.
import OpenAI, { APIError } from 'openai'
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod'
import type { ChatCompletion, ChatCompletionMessageParam } from 'openai/resources/chat/completions'
import type { Response, ResponseInputItem } from 'openai/resources/responses/responses'
import type { Client, Door, Result, Turn } from './client.ts'
import { lookSchema, weather } from './look.ts'

const sdk = ({ url, key, retries, fetch }: Door) =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: retries, fetch })

const shared = {
  caught(error: unknown) {
    if (!(error instanceof APIError)) return { kind: (error as Error).constructor.name, status: undefined }
    const { status, headers } = error
    return { kind: error.constructor.name, status, retryAfter: headers?.get('retry-after') ?? undefined }
  },
  errors: {
    invalid: 'BadRequestError',
    key: 'AuthenticationError',
    missing: 'NotFoundError',
    limited: 'RateLimitError',
    overloaded: 'InternalServerError',
    broken: 'APIError',
    aborted: 'APIUserAbortError',
  },
}
export const noField = 'OpenAI has no field for it: a program says it in the text'

export const chat: Client = {
  ...shared,
  model: 'gpt-4.1',
  async ask(door, { model, stream, turns, tools, signal, onText }) {
    const { completions } = sdk(door).chat
    const body = {
      model,
      messages: turns.flatMap(chatTurn),
      ...(tools ? { tools: [{ type: 'function' as const, function: { name: 'look', parameters: lookSchema } }] } : {}),
    }
    const options = signal ? { signal } : {}
    const answer = stream
      ? await completions
          .stream({ ...body, stream_options: { include_usage: true } }, options)
          .on('content', text => onText?.(text))
          .finalChatCompletion()
      : await completions.create(body, options)
    return chatTold(answer)
  },
  async parse(door, model) {
    const answer = await sdk(door).chat.completions.parse({
      model,
      messages: [{ role: 'user', content: 'weather' }],
      response_format: zodResponseFormat(weather, 'weather'),
    })
    return answer.choices[0]!.message.parsed
  },
  stops: {
    end: 'stop',
    calls: 'tool_calls',
    length: 'length',
    refused: 'content_filter',
    blocked: 'content_filter',
  },
  lacks: { image: 'a message of role tool has text only', error: noField },
}

function chatTold({ choices, usage }: ChatCompletion) {
  const { message, finish_reason } = choices[0]!
  return {
    text: message.content ?? '',
    calls: (message.tool_calls ?? []).flatMap(call =>
      call.type === 'function'
        ? [{ id: call.id, name: call.function.name, input: JSON.parse(call.function.arguments) }]
        : [],
    ),
    stop: finish_reason,
    refused: Boolean(message.refusal),
    usage: {
      input: usage!.prompt_tokens,
      output: usage!.completion_tokens,
      cached: usage!.prompt_tokens_details?.cached_tokens ?? 0,
    },
    kept: message,
  }
}

function chatTurn(one: Turn): ChatCompletionMessageParam[] {
  if ('user' in one) return [{ role: 'user', content: one.user }]
  if ('answer' in one) return [one.answer.kept as ChatCompletionMessageParam]
  return one.results.map(({ call, text }) => ({ role: 'tool', tool_call_id: call.id, content: text }))
}

export const responses: Client = {
  ...shared,
  model: 'gpt-5.6-terra',
  async ask(door, { model, stream, turns, tools, signal, onText }) {
    const client = sdk(door)
    const body = {
      model,
      store: false,
      input: turns.flatMap(responsesTurn),
      ...(tools ? { tools: [{ type: 'function' as const, name: 'look', parameters: lookSchema, strict: false }] } : {}),
    }
    const options = signal ? { signal } : {}
    const answer = stream
      ? await client.responses
          .stream(body, options)
          .on('response.output_text.delta', ({ delta }) => onText?.(delta))
          .finalResponse()
      : await client.responses.create(body, options)
    // As the vendor's guide has it: what failed in a stream is said in the response.
    if (answer.error) throw new Failed(answer.error.message)
    return responsesTold(answer)
  },
  async parse(door, model) {
    const answer = await sdk(door).responses.parse({
      model,
      input: 'weather',
      text: { format: zodTextFormat(weather, 'weather') },
    })
    return answer.output_parsed
  },
  stops: {
    end: 'completed',
    calls: 'calls',
    length: 'max_output_tokens',
    refused: 'content_filter',
    blocked: 'content_filter',
  },
  lacks: { error: noField },
}

/** An answer with `status: failed`. */
class Failed extends Error {}

function responsesTold({ output, output_text, usage, status, incomplete_details }: Response) {
  const calls = output.flatMap(item =>
    item.type === 'function_call' ? [{ id: item.call_id, name: item.name, input: JSON.parse(item.arguments) }] : [],
  )
  const refused = output.some(item => item.type === 'message' && item.content.some(({ type }) => type === 'refusal'))
  const stop = incomplete_details?.reason ?? (calls.length > 0 && status === 'completed' ? 'calls' : String(status))
  return {
    text: output_text,
    calls,
    stop,
    refused,
    usage: {
      input: usage!.input_tokens,
      output: usage!.output_tokens,
      cached: usage!.input_tokens_details?.cached_tokens ?? 0,
    },
    kept: output,
  }
}

function responsesTurn(one: Turn): ResponseInputItem[] {
  if ('user' in one) return [{ role: 'user', content: one.user }]
  if ('answer' in one) return one.answer.kept as ResponseInputItem[]
  return one.results.map(output)
}

const output = ({ call, text, image }: Result): ResponseInputItem => ({
  type: 'function_call_output',
  call_id: call.id,
  output: image
    ? [
        { type: 'input_text', text },
        { type: 'input_image', image_url: `data:image/png;base64,${image}`, detail: 'auto' },
      ]
    : text,
})

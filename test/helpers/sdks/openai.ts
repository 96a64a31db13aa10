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
  list: async (door: Door) => (await sdk(door).models.list()).data.map(({ id }) => id),
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
  async ask(door, { model, stream, turns, tools, thinking, signal, onText }) {
    const { completions } = sdk(door).chat
    const body = {
      model,
      messages: turns.flatMap(chatTurn),
      ...(thinking ? { reasoning_effort: 'medium' as const } : {}),
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
  async parse(door, model, stream) {
    const { completions } = sdk(door).chat
    const body = {
      model,
      messages: [{ role: 'user' as const, content: 'weather' }],
      response_format: zodResponseFormat(weather, 'weather'),
    }
    const answer = stream ? await completions.stream(body).finalChatCompletion() : await completions.parse(body)
    return answer.choices[0]!.message.parsed
  },
  stops: {
    end: 'stop',
    calls: 'tool_calls',
    length: 'length',
    refused: 'content_filter',
    blocked: 'content_filter',
  },
  lacks: {
    image: 'a message of role tool has text only',
    thought: 'reasoning_content is of other servers: the SDK has no field for it',
    error: noField,
  },
}

function chatTold({ choices, usage, model }: ChatCompletion) {
  const { message, finish_reason } = choices[0]!
  return {
    text: message.content ?? '',
    calls: (message.tool_calls ?? []).flatMap(call =>
      call.type === 'function'
        ? [{ id: call.id, name: call.function.name, input: JSON.parse(call.function.arguments) }]
        : [],
    ),
    model,
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
  if ('user' in one)
    return [
      {
        role: 'user',
        content: one.image
          ? [
              { type: 'text', text: one.user },
              { type: 'image_url', image_url: { url: `data:image/png;base64,${one.image}` } },
            ]
          : one.user,
      },
    ]
  if ('answer' in one) return [one.answer.kept as ChatCompletionMessageParam]
  return one.results.map(({ call, text }) => ({ role: 'tool', tool_call_id: call.id, content: text }))
}

export const responses: Client = {
  ...shared,
  model: 'gpt-5.6-terra',
  async ask(door, { model, stream, turns, tools, thinking, signal, onText }) {
    const client = sdk(door)
    const body = {
      model,
      store: false,
      input: turns.flatMap(responsesTurn),
      ...(thinking
        ? {
            reasoning: { effort: 'medium' as const, summary: 'auto' as const },
            include: ['reasoning.encrypted_content' as const],
          }
        : {}),
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
  async parse(door, model, stream) {
    const client = sdk(door)
    const body = { model, input: 'weather', text: { format: zodTextFormat(weather, 'weather') } }
    const answer = stream ? await client.responses.stream(body).finalResponse() : await client.responses.parse(body)
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

function responsesTold({ model, output, output_text, usage, status, incomplete_details }: Response) {
  const calls = output.flatMap(item =>
    item.type === 'function_call' ? [{ id: item.call_id, name: item.name, input: JSON.parse(item.arguments) }] : [],
  )
  const refused = output.some(item => item.type === 'message' && item.content.some(({ type }) => type === 'refusal'))
  const stop = incomplete_details?.reason ?? (calls.length > 0 && status === 'completed' ? 'calls' : String(status))
  return {
    text: output_text,
    calls,
    thought: output.flatMap(item => (item.type === 'reasoning' ? item.summary.map(({ text }) => text) : [])).join(''),
    model,
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
  if ('user' in one)
    return [
      { role: 'user', content: one.image ? [{ type: 'input_text', text: one.user }, picture(one.image)] : one.user },
    ]
  if ('answer' in one) return one.answer.kept as ResponseInputItem[]
  return one.results.map(output)
}

const picture = (data: string) => ({
  type: 'input_image' as const,
  image_url: `data:image/png;base64,${data}`,
  detail: 'auto' as const,
})

const output = ({ call, text, image }: Result): ResponseInputItem => ({
  type: 'function_call_output',
  call_id: call.id,
  output: image ? [{ type: 'input_text', text }, picture(image)] : text,
})

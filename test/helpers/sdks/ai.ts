// The AI SDK with its providers for Anthropic, OpenAI in both dialects, and Google.
import { createAnthropic } from '@ai-sdk/anthropic'
import { createGoogleGenerativeAI } from '@ai-sdk/google'
import { createOpenAI } from '@ai-sdk/openai'
import {
  APICallError,
  generateText,
  jsonSchema,
  type LanguageModel,
  type ModelMessage,
  Output,
  streamText,
  type ToolResultPart,
  type ToolSet,
  tool,
} from 'ai'
import type { Client, Door, Result, Turn } from './client.ts'
import { lookSchema, weather } from './look.ts'
import { noField } from './openai.ts'

// Of what it repairs in histories: told to a program's console.
globalThis.AI_SDK_LOG_WARNINGS = false

const look = { look: tool({ inputSchema: jsonSchema(lookSchema as never) }) } as ToolSet

function client(
  model: string,
  open: (door: Door) => (model: string) => LanguageModel,
  more: Partial<Client> & { options?: { openai: { store: boolean } } } = {},
): Client {
  const { options, ...own } = more
  return {
    model,
    async ask(door, { model, stream, turns, tools, thinking, signal, onText }) {
      const asked = {
        model: open(door)(model),
        messages: turns.flatMap(turn),
        maxOutputTokens: 1024,
        maxRetries: door.retries,
        ...(options || thinking ? { providerOptions: { ...options, ...(thinking ? thoughts : {}) } } : {}),
        ...(tools ? { tools: look } : {}),
        ...(signal ? { abortSignal: signal } : {}),
      }
      if (!stream) return told(await generateText(asked))
      const result = streamText({ ...asked, onError() {} })
      for await (const part of result.stream) {
        if (part.type === 'text-delta') onText?.(part.text)
        else if (part.type === 'error') throw part.error
        else if (part.type === 'abort') throw signal!.reason
      }
      return told({
        text: await result.text,
        reasoningText: await result.reasoningText,
        response: await result.response,
        toolCalls: await result.toolCalls,
        finishReason: await result.finishReason,
        usage: await result.usage,
        responseMessages: await result.responseMessages,
      })
    },
    async parse(door, model, stream) {
      const asked = {
        model: open(door)(model),
        prompt: 'weather',
        maxOutputTokens: 1024,
        maxRetries: 0,
        output: Output.object({ schema: weather }),
      }
      return stream ? await streamText(asked).output : (await generateText(asked)).output
    },
    caught(error) {
      const status = APICallError.isInstance(error) ? error.statusCode : undefined
      const retryAfter = APICallError.isInstance(error) ? error.responseHeaders?.['retry-after'] : undefined
      return { kind: (error as Error).name ?? typeof error, status, retryAfter }
    },
    stops: {
      end: 'stop',
      calls: 'tool-calls',
      length: 'length',
      refused: 'content-filter',
      blocked: 'content-filter',
    },
    errors: {
      invalid: 'AI_APICallError',
      key: 'AI_APICallError',
      missing: 'AI_APICallError',
      limited: 'AI_APICallError',
      overloaded: 'AI_APICallError',
      broken: 'AI_StreamProviderError',
      aborted: 'AbortError',
    },
    ...own,
  }
}

// By provider: each takes its own.
const thoughts = {
  anthropic: { thinking: { type: 'adaptive' } },
  openai: { reasoningEffort: 'medium', reasoningSummary: 'auto', store: false },
  google: { thinkingConfig: { includeThoughts: true } },
}

interface Read {
  text: string
  reasoningText: string | undefined
  response: { modelId: string }
  toolCalls: { toolCallId: string; toolName: string; input: unknown }[]
  finishReason: string
  usage: {
    inputTokens: number | undefined
    outputTokens: number | undefined
    inputTokenDetails: { cacheReadTokens: number | undefined }
  }
  responseMessages: unknown[]
}

const told = ({ text, reasoningText = '', response, toolCalls, finishReason, usage, responseMessages }: Read) => ({
  text,
  calls: toolCalls.map(({ toolCallId: id, toolName: name, input }) => ({ id, name, input })),
  thought: reasoningText,
  model: response.modelId,
  stop: finishReason,
  usage: {
    input: usage.inputTokens ?? 0,
    output: usage.outputTokens ?? 0,
    cached: usage.inputTokenDetails.cacheReadTokens ?? 0,
  },
  kept: responseMessages,
})

function turn(one: Turn): ModelMessage[] {
  if ('user' in one) {
    const image = one.image ? [{ type: 'file' as const, mediaType: 'image/png', data: one.image }] : []
    return [{ role: 'user', content: [{ type: 'text', text: one.user }, ...image] }]
  }
  if ('answer' in one) return one.answer.kept as ModelMessage[]
  return [{ role: 'tool', content: one.results.map(result) }]
}

const result = ({ call, text, error, image }: Result): ToolResultPart => ({
  type: 'tool-result',
  toolCallId: call.id,
  toolName: call.name,
  output: image
    ? {
        type: 'content',
        value: [
          { type: 'text', text },
          { type: 'file', mediaType: 'image/png', data: { type: 'data', data: image } },
        ],
      }
    : { type: error ? 'error-text' : 'text', value: text },
})

const openai = ({ url, key, fetch }: Door) => createOpenAI({ baseURL: `${url}/v1`, apiKey: key, fetch })

export const aiAnthropic = client('claude-opus-4-8', ({ url, key, fetch }) =>
  createAnthropic({ baseURL: `${url}/v1`, apiKey: key, fetch }),
)
export const aiChat = client('gpt-4.1', door => openai(door).chat, {
  lacks: {
    thought: 'the provider reads no reasoning_content',
    error: noField,
    image: 'a message of role tool has text only: it becomes a JSON text of its base64',
  },
  errorIsObject: true,
})
// What it keeps at OpenAI it names instead of sending it; elsewhere nothing is kept, and a program says so.
export const aiResponses = client('gpt-5.6-terra', door => openai(door).responses, {
  lacks: { error: noField },
  errorIsObject: true,
  options: { openai: { store: false } },
})
/** As above, left to keep its history at OpenAI. */
export const aiKeeping = client('gpt-5.6-terra', door => openai(door).responses)
export const aiGoogle = client('gemini-3.6-flash', ({ url, key, fetch }) =>
  createGoogleGenerativeAI({ baseURL: `${url}/v1beta`, apiKey: key, fetch }),
)

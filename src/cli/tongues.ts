// Tongues: how a client of each dialect asks one plain question, and where the text stands in what it hears.
import type { DialectName } from '../dialect/dialect.ts'

export interface Plain {
  key: string
  model: string
  text: string
  stream: boolean
  maxTokens: number
}

export interface Tongue {
  request(plain: Plain): { path: string; headers: Record<string, string>; body: object }
  /** The texts in an event of a stream. */
  pieces(event: Heard): (string | undefined)[]
  /** The texts of a whole answer. */
  texts(body: Heard): (string | undefined)[]
}

/** The parts of what is heard that are looked at; whatever else is there. */
export interface Heard {
  type?: string
  /** of Messages an object, of Responses a text */
  delta?: { text?: string } | string
  content?: { text?: string }[]
  choices?: { delta?: { content?: string | null }; message?: { content?: string | null } }[]
  output?: { type?: string; content?: { text?: string }[] }[]
  candidates?: { content?: { parts?: { text?: string; thought?: boolean }[] } }[]
  error?: { message?: string }
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` })
const said = ({ candidates }: Heard) =>
  (candidates?.[0]?.content?.parts ?? []).map(part => (part.thought ? undefined : part.text))

export const tongues: Record<DialectName, Tongue> = {
  messages: {
    request: ({ key, model, text, stream, maxTokens }) => ({
      path: '/v1/messages',
      headers: { 'x-api-key': key, 'anthropic-version': '2023-06-01' },
      body: { model, max_tokens: maxTokens, stream, messages: [{ role: 'user', content: text }] },
    }),
    pieces: ({ delta }) => [typeof delta === 'object' ? delta.text : undefined],
    texts: ({ content }) => (content ?? []).map(({ text }) => text),
  },
  chat: {
    request: ({ key, model, text, stream, maxTokens }) => ({
      path: '/v1/chat/completions',
      headers: bearer(key),
      body: {
        ...{ model, max_completion_tokens: maxTokens, messages: [{ role: 'user', content: text }] },
        ...(stream && { stream, stream_options: { include_usage: true } }),
      },
    }),
    pieces: ({ choices }) => [choices?.[0]?.delta?.content ?? undefined],
    texts: ({ choices }) => [choices?.[0]?.message?.content ?? undefined],
  },
  responses: {
    request: ({ key, model, text, stream, maxTokens }) => ({
      path: '/v1/responses',
      headers: bearer(key),
      body: { model, max_output_tokens: maxTokens, stream, input: text },
    }),
    pieces: ({ type, delta }) => [
      type === 'response.output_text.delta' && typeof delta === 'string' ? delta : undefined,
    ],
    texts: ({ output }) => (output ?? []).flatMap(({ content }) => (content ?? []).map(({ text }) => text)),
  },
  gemini: {
    request: ({ key, model, text, stream, maxTokens }) => ({
      path: `/v1beta/models/${encodeURIComponent(model)}:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
      headers: { 'x-goog-api-key': key },
      body: { contents: [{ role: 'user', parts: [{ text }] }], generationConfig: { maxOutputTokens: maxTokens } },
    }),
    pieces: said,
    texts: said,
  },
}

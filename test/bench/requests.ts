// Requests as bytes, built before anything is measured.

export const PACE_MS = 20
/** A stream that may be this long is a paced one. */
export const PACED_TOKENS = 65

/**
 * `json` and `sse` ask with 1 KB, `big` with 400 KB for a small answer, `paced` for a stream with a delta every PACE_MS; `chat` is `sse` asked
 * in Chat Completions.
 */
export type Shape = 'json' | 'sse' | 'big' | 'paced' | 'chat'

const CONVERSATIONS = 32

/** One request for each of several conversations and each key, to be sent in turn. */
export function requests(shape: Shape, host: string, keys: readonly string[]): Buffer[] {
  return Array.from({ length: shape === 'big' ? 8 : CONVERSATIONS }, (_, i) => {
    const body = JSON.stringify({
      model: 'claude-sonnet-5-5',
      max_tokens: shape === 'paced' ? PACED_TOKENS : 64,
      ...(shape === 'sse' || shape === 'paced' || shape === 'chat' ? { stream: true } : {}),
      ...(shape === 'chat' ? { stream_options: { include_usage: true } } : {}),
      messages: shape === 'big' ? history(i) : [{ role: 'user', content: `question ${i} `.padEnd(900, 'of words ') }],
    })
    return Buffer.from(
      `POST ${shape === 'chat' ? '/v1/chat/completions' : '/v1/messages'} HTTP/1.1\r\nhost: ${host}\r\nx-api-key: ${keys[i % keys.length]}\r\nanthropic-version: 2023-06-01\r\n` +
        `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
  })
}

const history = (i: number) =>
  Array.from({ length: 101 }, (_, turn) => ({
    role: turn % 2 ? 'assistant' : 'user',
    content: `turn ${turn} of ${i} `.padEnd(3_920, 'as it was said '),
  }))

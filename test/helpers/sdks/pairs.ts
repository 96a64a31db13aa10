// Calls and what came of them, as they stand in a request to an upstream: read by hand, so that no codec of ours is its own judge.
import type { Lane } from '../lanes.ts'

// biome-ignore lint/suspicious/noExplicitAny: requests of four dialects
type Json = any

export interface Pair {
  name: string
  input: unknown
  /** as text, whatever its form */
  result: string
  /** undefined: the dialect has no field for it */
  error: boolean | undefined
}

/** In the order of the calls; a call without its result, or the other way round, throws. */
export function pairsIn(lane: Lane, body: string): Pair[] {
  const { calls, results } = readers[lane](JSON.parse(body))
  const left = new Map(results)
  if (left.size !== results.length) throw new Error('an id is answered twice')
  const pairs = calls.map(([id, name, input]) => {
    const [result, error] = left.get(id) ?? []
    if (!left.delete(id)) throw new Error(`call ${id} is without a result`)
    return { name, input, result: JSON.stringify(result), error }
  })
  if (left.size > 0) throw new Error(`results without a call: ${[...left.keys()]}`)
  return pairs
}

interface Found {
  calls: [id: string, name: string, input: unknown][]
  results: [id: string, [result: unknown, error?: boolean]][]
}

const readers: Record<Lane, (body: Json) => Found> = {
  anthropic({ messages }) {
    const blocks: Json[] = messages.flatMap(({ content }: Json) => (Array.isArray(content) ? content : []))
    return {
      calls: blocks.filter(({ type }) => type === 'tool_use').map(({ id, name, input }) => [id, name, input]),
      results: blocks
        .filter(({ type }) => type === 'tool_result')
        .map(({ tool_use_id, content, is_error = false }) => [tool_use_id, [content, is_error]]),
    }
  },
  'openai-chat': ({ messages }) => ({
    calls: messages
      .flatMap(({ tool_calls }: Json) => tool_calls ?? [])
      .map(({ id, function: f }: Json) => [id, f.name, JSON.parse(f.arguments)]),
    results: messages
      .filter(({ role }: Json) => role === 'tool')
      .map(({ tool_call_id, content }: Json) => [tool_call_id, [content]]),
  }),
  'openai-responses': ({ input }) => ({
    calls: input
      .filter(({ type }: Json) => type === 'function_call')
      .map(({ call_id, name, arguments: a }: Json) => [call_id, name, JSON.parse(a)]),
    results: input
      .filter(({ type }: Json) => type === 'function_call_output')
      .map(({ call_id, output }: Json) => [call_id, [output]]),
  }),
  gemini({ contents }) {
    // Without ids they pair by order.
    const ofKind = (kind: string): Json[] =>
      contents.flatMap(({ parts }: Json) => parts.flatMap((part: Json) => part[kind] ?? []))
    return {
      calls: ofKind('functionCall').map(({ id, name, args }, n) => [id ?? String(n), name, args]),
      results: ofKind('functionResponse').map(({ id, response }, n) => [
        id ?? String(n),
        [response, response.error !== undefined],
      ]),
    }
  },
  antigravity: ({ request }) => readers.gemini(request),
}

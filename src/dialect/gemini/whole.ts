// A whole Gemini answer as a stream, which is one chunk of it, and a stream as a whole answer: nothing known or unknown is lost.
import type { Gatherer } from '../dialect.ts'
import { parseExact, writeExact } from '../json/exact.ts'
import { SseCutter } from '../sse.ts'

type Fields = Record<string, unknown>

/** Undefined for what is no answer. */
export function asStream(body: Buffer): Buffer | undefined {
  const answer = parsed(body.toString('utf8'))
  if (!answer || (!Array.isArray(answer['candidates']) && !answer['promptFeedback'])) return undefined
  const line = Buffer.from(body)
  // A line break can only stand between two values: an event has one line.
  for (let i = 0; i < line.length; i++) if (line[i] === 10 || line[i] === 13) line[i] = 0x20
  return Buffer.concat([Buffer.from('data: '), line, Buffer.from('\n\n')])
}

// As large as a whole answer may be that is held back until it is known to be good.
const MOST_BYTES = 32 * 1024 * 1024

export class GeminiGatherer implements Gatherer {
  #bytes = 0
  #whole: Fields | undefined
  #broken = false
  readonly #candidates = new Map<number, Fields>()
  readonly #cutter = new SseCutter({
    wants: () => true,
    event: (_, data, __, bytes) => {
      this.#bytes += bytes
      if (this.#bytes <= MOST_BYTES) this.#take(parsed(data))
    },
  })

  push(chunk: Buffer): void {
    this.#cutter.push(chunk)
  }

  end(): Buffer | undefined {
    this.#cutter.end()
    const ended = [...this.#candidates.values()].every(candidate => typeof candidate['finishReason'] === 'string')
    if (!this.#whole || this.#broken || this.#bytes > MOST_BYTES || !ended) return undefined
    if (this.#candidates.size === 0 && !this.#whole['promptFeedback']) return undefined
    const candidates = [...this.#candidates].sort(([a], [b]) => a - b).map(([, candidate]) => candidate)
    return Buffer.from(writeExact({ ...(candidates.length > 0 ? { candidates } : {}), ...this.#whole }))
  }

  #take(chunk: Fields | undefined): void {
    if (!chunk || chunk['error']) {
      this.#broken ||= chunk !== undefined
      return
    }
    const { candidates, usageMetadata, ...rest } = chunk
    const usage = {
      ...(this.#whole?.['usageMetadata'] as Fields | undefined),
      ...(usageMetadata as Fields | undefined),
    }
    this.#whole = { ...this.#whole, ...rest, ...(Object.keys(usage).length > 0 ? { usageMetadata: usage } : {}) }
    for (const candidate of Array.isArray(candidates) ? (candidates as Fields[]) : []) this.#grow(candidate)
  }

  #grow({ content, ...rest }: Fields): void {
    const index = typeof rest['index'] === 'number' ? rest['index'] : 0
    const before = this.#candidates.get(index)
    const known = (before?.['content'] ?? {}) as Fields
    const parts = (known['parts'] ?? []) as Fields[]
    const { parts: more, ...about } = (content ?? {}) as Fields
    for (const part of Array.isArray(more) ? (more as Fields[]) : []) {
      const last = parts.at(-1)
      if (last && continues(last, part)) last['text'] = `${last['text']}${part['text']}`
      else parts.push({ ...part })
    }
    this.#candidates.set(index, { ...before, content: { ...known, ...about, parts }, ...rest })
  }
}

/** A text that goes on: of the same kind, and nothing stands beside either. */
function continues(last: Fields, part: Fields): boolean {
  const plain = (fields: Fields) =>
    typeof fields['text'] === 'string' && Object.keys(fields).every(name => name === 'text' || name === 'thought')
  return plain(last) && plain(part) && (last['thought'] === true) === (part['thought'] === true)
}

function parsed(text: string): Fields | undefined {
  try {
    const value = parseExact(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined
  } catch {
    return undefined
  }
}

// Puts the model's name that the client asked for back into an answer, in place; every other byte stays.
import type { Span } from './dialect.ts'
import { JsonError, scanObject } from './json/scan.ts'

const LF = 10
const CR = 13
const DATA = Buffer.from('data:')

/** A whole answer, whose model is named at `path`. What cannot be read is left as it is. */
export function renamedBody(body: Buffer, path: readonly string[], model: string): Buffer {
  const found = valueAt(body, path)
  return found ? replaced(body, [found], model) : body
}

/** Whole events, in each of which a model may be named at `path`. */
export function renamedEvents(events: Buffer, path: readonly string[], model: string): Buffer {
  const token = Buffer.from(`"${path[0]}"`)
  const found: Span[] = []
  for (let at = events.indexOf(token); at !== -1; ) {
    const start = Math.max(events.lastIndexOf(LF, at), events.lastIndexOf(CR, at)) + 1
    const ends = [events.indexOf(LF, at), events.indexOf(CR, at)].filter(i => i !== -1)
    const end = ends.length === 0 ? events.length : Math.min(...ends)
    if (events.subarray(start, start + DATA.length).equals(DATA)) {
      const from = start + DATA.length
      const span = valueAt(events.subarray(from, end), path)
      if (span) found.push({ start: from + span.start, end: from + span.end })
    }
    at = events.indexOf(token, end)
  }
  return found.length === 0 ? events : replaced(events, found, model)
}

function valueAt(json: Buffer, path: readonly string[]): Span | undefined {
  try {
    let start = 0
    let end = json.length
    for (const name of path) {
      const span = scanObject(json.subarray(start, end), new Set([name])).get(name)
      if (!span) return undefined
      end = start + span.end
      start += span.start
    }
    return { start, end }
  } catch (error) {
    if (error instanceof JsonError) return undefined
    throw error
  }
}

function replaced(bytes: Buffer, spans: readonly Span[], model: string): Buffer {
  const name = Buffer.from(JSON.stringify(model))
  const pieces: Buffer[] = []
  let from = 0
  for (const { start, end } of spans) {
    pieces.push(bytes.subarray(from, start), name)
    from = end
  }
  return Buffer.concat([...pieces, bytes.subarray(from)])
}

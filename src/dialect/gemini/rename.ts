// Puts the model's name that the client asked for back into an answer, in place: `modelVersion` of each chunk. Every other byte stays.
import type { Span } from '../dialect.ts'
import { JsonError, scanObject } from '../json/scan.ts'

const NAME = Buffer.from('"modelVersion"')
const names = new Set(['modelVersion'])
const LF = 10
const CR = 13
const OPEN_BRACE = 0x7b

/** A whole answer. What cannot be read is left as it is. */
export function renameBody(body: Buffer, model: string): Buffer {
  const span = body.includes(NAME) ? versionIn(body) : undefined
  return span ? Buffer.concat([body.subarray(0, span.start), written(model), body.subarray(span.end)]) : body
}

/** Whole events. */
export function renameEvents(events: Buffer, model: string): Buffer {
  const pieces: Buffer[] = []
  let from = 0
  for (let at = events.indexOf(NAME); at !== -1; ) {
    const start = Math.max(events.lastIndexOf(LF, at), events.lastIndexOf(CR, at)) + 1
    const open = events.indexOf(OPEN_BRACE, start)
    const ends = [events.indexOf(LF, at), events.indexOf(CR, at)].filter(i => i !== -1)
    const end = ends.length === 0 ? events.length : Math.min(...ends)
    const span = versionIn(events.subarray(open, end))
    if (span) {
      pieces.push(events.subarray(from, open + span.start), written(model))
      from = open + span.end
    }
    at = events.indexOf(NAME, end)
  }
  if (from === 0) return events
  pieces.push(events.subarray(from))
  return Buffer.concat(pieces)
}

const written = (model: string) => Buffer.from(JSON.stringify(model))

function versionIn(json: Buffer): Span | undefined {
  try {
    return scanObject(json, names).get('modelVersion')
  } catch (error) {
    if (error instanceof JsonError) return undefined
    throw error
  }
}

// What the peeks of all dialects with a JSON body share: one scan of its top level, short values, and the model edited in place.
import { Failure } from '../lib/failure.ts'
import type { Body, Span } from './dialect.ts'
import { JsonError, scanObject, type Words } from './json/scan.ts'

/** Where the wanted values of a body are. @throws Failure BODY_INVALID */
export function scanned(body: Buffer, wanted: ReadonlySet<string>, words?: Words): Map<string, Span> {
  try {
    return scanObject(body, wanted, words)
  } catch (error) {
    if (error instanceof JsonError) throw new Failure('BODY_INVALID', [error.message], { cause: error })
    throw error
  }
}

/** @throws Failure BODY_INVALID, MODEL_REQUIRED */
export function modelIn(body: Buffer, span: Span | undefined): string {
  if (!span) throw new Failure('MODEL_REQUIRED')
  const model = shortValue(body, span)
  if (typeof model !== 'string') throw new Failure('BODY_INVALID', ['model must be a string'])
  return modelNamed(model)
}

// In a path these lead to another one.
const upwards = new Set(['.', '..'])

/** @throws Failure BODY_INVALID, MODEL_REQUIRED for what is no name of a model */
export function modelNamed(model: string): string {
  if (model === '') throw new Failure('MODEL_REQUIRED')
  // No name has these, and Postgres has no place for some of them: usage under such a name could not be written.
  if (/\p{Cc}/u.test(model) || !model.isWellFormed())
    throw new Failure('BODY_INVALID', ['model has a character that no name has'])
  if (model.includes('.') && model.split(/[/\\]/).some(part => upwards.has(part)))
    throw new Failure('BODY_INVALID', ['model has a part that is only dots'])
  return model
}

/** Whether a stream is asked for. @throws Failure BODY_INVALID */
export function streamIn(body: Buffer, span: Span | undefined): boolean {
  const stream = span ? shortValue(body, span) : false
  if (typeof stream !== 'boolean') throw new Failure('BODY_INVALID', ['stream must be true or false'])
  return stream
}

/** A value that is short; null for what is long or cannot be read, undefined where there is none. */
export function shortValue(body: Buffer, span: Span | undefined): unknown {
  if (!span) return undefined
  // A wanted value is a string, a number or a boolean; anything long is none of them and need not be built.
  if (span.end - span.start > 4096) return null
  try {
    return JSON.parse(body.toString('utf8', span.start, span.end))
  } catch {
    return null // the scan does not judge what stands in a string
  }
}

/** A count as a limit; undefined for what is none. */
export function limitOf(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : undefined
}

/** The vendor's word for a service mode; '' for the standard ones. */
export function modeAsked(value: unknown, standard: ReadonlySet<string>): string {
  return typeof value === 'string' && !standard.has(value) ? value.replace(/[^\w.-]/g, '_').slice(0, 32) : ''
}

/** So many bytes of a body are replaced by a text. */
export interface Edit extends Span {
  text: string
}

export const inOrder = (edits: readonly Edit[]) => edits.toSorted((a, b) => a.start - b.start)

// Beyond this a copy costs more than two more writes.
const COPY_BYTES = 64 * 1024

/** A body edited in place, every other byte as it was. `edits` are in order and do not overlap. */
export function edited(body: Buffer, edits: readonly Edit[]): Body {
  if (edits.length === 0) return { pieces: [body], bytes: body.length }
  const pieces: Buffer[] = []
  let from = 0
  for (const { start, end, text } of edits) {
    pieces.push(body.subarray(from, start), Buffer.from(text))
    from = end
  }
  pieces.push(body.subarray(from))
  const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
  return bytes <= COPY_BYTES ? { pieces: [Buffer.concat(pieces, bytes)], bytes } : { pieces, bytes }
}

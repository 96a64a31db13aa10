// How much of a Messages body its model will read as text: all of it but the images.
import type { Span } from '../json.ts'
import { elements, members, valueEnd } from '../walk.ts'

// What an image counts as: at two bytes a token more than any is billed for.
const IMAGE_BYTES = 10_000
const QUOTE = 0x22

/**
 * Bytes of a body that may become input tokens. The base64 of an image says nothing about its tokens: of one longer than
 * that `IMAGE_BYTES` are counted. Only images where the dialect has them are left out, so that nobody can pass a text for one.
 */
export function promptBytes(body: Buffer, messages: Span | undefined): number {
  if (body.length < IMAGE_BYTES || !messages || !body.includes('image/')) return body.length
  let bytes = body.length
  for (const message of elements(body, messages.start)) bytes -= imagesIn(body, message, 0)
  return bytes
}

/** What is left out of a message, or of a tool's result in one: images stand in `content`. */
function imagesIn(body: Buffer, at: number, depth: number): number {
  let left = 0
  for (const { key, value } of members(body, at))
    if (key === 'content')
      for (const block of elements(body, value.start))
        left += imageOf(body, block) + (depth === 0 ? imagesIn(body, block, 1) : 0)
  return left
}

/** A block's `source.data`, beyond what is counted of it. */
function imageOf(body: Buffer, block: number): number {
  let image = false
  let data = 0
  for (const { key, value } of members(body, block))
    if (key === 'type') image = body.toString('latin1', value.start, value.end) === '"image"'
    else if (key === 'source')
      for (const field of members(body, value.start))
        if (field.key === 'data' && body[field.value.start] === QUOTE)
          data = valueEnd(body, field.value.start) - field.value.start
  return image ? Math.max(0, data - IMAGE_BYTES) : 0
}

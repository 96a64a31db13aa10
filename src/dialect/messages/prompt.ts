// How much a Messages body will be to its model, in bytes of text: images and documents are other than their base64.
import type { Span } from '../dialect.ts'
import { elements, members, valueEnd } from '../json/walk.ts'
import { DOCUMENT_BYTES, IMAGE_BYTES } from '../media-bytes.ts'

const QUOTE = 0x22

/**
 * Bytes of text that a body may amount to. The base64 of an image says nothing about its tokens, so `IMAGE_BYTES` are counted in
 * its place; a document's is compressed, so it counts twice. Only where the dialect has them, so that nobody can pass a text
 * for an image.
 */
export function promptBytes(body: Buffer, messages: Span): number {
  let bytes = body.length
  for (const message of elements(body, messages.start)) bytes += mediaIn(body, message, 0)
  return bytes
}

/** What a message, or a tool's result in one, amounts to beyond its bytes; they stand in `content`. */
function mediaIn(body: Buffer, at: number, depth: number): number {
  let more = 0
  for (const { key, value } of members(body, at))
    if (key === 'content')
      for (const block of elements(body, value.start))
        more += mediumOf(body, block) + (depth < 2 ? mediaIn(body, block, depth + 1) : 0)
  return more
}

/** What a block amounts to beyond its bytes: below 0 for an image that is here. */
function mediumOf(body: Buffer, block: number): number {
  let type = ''
  let data = 0
  for (const { key, value } of members(body, block))
    if (key === 'type') type = body.toString('latin1', value.start, value.end)
    else if (key === 'source')
      for (const field of members(body, value.start))
        if (field.key === 'data' && body[field.value.start] === QUOTE)
          data = valueEnd(body, field.value.start) - field.value.start
  if (type === '"image"') return IMAGE_BYTES - data
  if (type === '"document"') return data > 0 ? data : DOCUMENT_BYTES
  return 0
}

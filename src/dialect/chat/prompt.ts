// How much a Chat Completions body will be to its model, in bytes of text: images, files and sound are other than their base64.
import type { Span } from '../dialect.ts'
import { elements, members } from '../json/walk.ts'
import { DOCUMENT_BYTES, IMAGE_BYTES } from '../media-bytes.ts'

const QUOTE = 0x22
// Ten tokens a second; of the base64 of a second there are rarely less than 1.3 KB.
const AUDIO_PART = 16

/**
 * Bytes of text that a body may amount to, as in the Messages dialect. Only where the dialect has media, so that nobody can pass a
 * text for an image.
 */
export function promptBytes(body: Buffer, messages: Span): number {
  let bytes = body.length
  for (const message of elements(body, messages.start))
    for (const { key, value } of members(body, message))
      if (key === 'content') for (const part of elements(body, value.start)) bytes += mediumOf(body, part)
  return bytes
}

/** What a part amounts to beyond its bytes: below 0 for an image that is here. */
function mediumOf(body: Buffer, part: number): number {
  let type = ''
  const fields = new Map<string, Span>()
  for (const { key, value } of members(body, part))
    if (key === 'type') type = body.toString('latin1', value.start, value.end)
    else fields.set(key, value)
  switch (type) {
    case '"image_url"':
      return IMAGE_BYTES - lengthIn(body, fields.get('image_url'), 'url')
    case '"file"':
      return lengthIn(body, fields.get('file'), 'file_data') || DOCUMENT_BYTES
    case '"video_url"':
      return DOCUMENT_BYTES
    case '"input_audio"': {
      const data = lengthIn(body, fields.get('input_audio'), 'data')
      return Math.ceil(data / AUDIO_PART) - data
    }
    default:
      return 0
  }
}

/** The bytes of a text that is a member of an object, or is in its place. */
function lengthIn(body: Buffer, span: Span | undefined, name: string): number {
  if (!span) return 0
  if (body[span.start] === QUOTE) return span.end - span.start
  for (const { key, value } of members(body, span.start))
    if (key === name && body[value.start] === QUOTE) return value.end - value.start
  return 0
}

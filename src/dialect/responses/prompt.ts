// How much a Responses body will be to its model, in bytes of text: images and files are other than their base64.
import type { Span } from '../dialect.ts'
import { elements, members } from '../json/walk.ts'
import { DOCUMENT_BYTES, IMAGE_BYTES } from '../media-bytes.ts'

const QUOTE = 0x22

/**
 * Bytes of text that a body may amount to, as in the Messages dialect. Only where the dialect has media, so that nobody can pass a
 * text for an image.
 */
export function promptBytes(body: Buffer, input: Span): number {
  let bytes = body.length
  for (const item of elements(body, input.start)) bytes += mediaIn(body, item)
  return bytes
}

/** What an item amounts to beyond its bytes: its parts stand in `content`, or in the `output` of a call. */
function mediaIn(body: Buffer, item: number): number {
  let more = mediumOf(body, item)
  for (const { key, value } of members(body, item))
    if (key === 'content') for (const part of elements(body, value.start)) more += mediumOf(body, part)
    else if (key === 'output') {
      more += mediumOf(body, value.start)
      for (const part of elements(body, value.start)) more += mediumOf(body, part)
    }
  return more
}

/** What a part amounts to beyond its bytes: below 0 for an image that is here. */
function mediumOf(body: Buffer, part: number): number {
  let type = ''
  const data: Record<string, number> = {}
  for (const { key, value } of members(body, part))
    if (key === 'type') type = body.toString('latin1', value.start, value.end)
    else if (body[value.start] === QUOTE) data[key] = value.end - value.start
  switch (type) {
    case '"input_image"':
    case '"computer_screenshot"':
      return IMAGE_BYTES - (data['image_url'] ?? 0)
    case '"image_generation_call"':
      return IMAGE_BYTES - (data['result'] ?? 0)
    case '"input_file"':
      return data['file_data'] ?? DOCUMENT_BYTES
    default:
      return 0
  }
}

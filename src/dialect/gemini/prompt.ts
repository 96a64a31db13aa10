// How much a Gemini body will be to its model, in bytes of text: images and documents are other than their base64.
import type { Span } from '../dialect.ts'
import { elements, members, valueEnd } from '../json/walk.ts'

// What an image counts as: at two bytes a token more than any is billed for.
const IMAGE_BYTES = 10_000
// A file that is only named: some hundred pages of it, or minutes.
const FILE_BYTES = 400_000
const QUOTE = 0x22

/**
 * Bytes of text that contents may amount to beyond their own bytes: below 0 where images are. What else comes as base64 is
 * compressed, so it counts twice. Only where the dialect has them, so that nobody can pass a text for an image.
 */
export function mediaBytes(body: Buffer, contents: Span): number {
  let more = 0
  for (const content of elements(body, contents.start))
    for (const { key, value } of members(body, content)) if (key === 'parts') more += mediaIn(body, value.start, 0)
  return more
}

function mediaIn(body: Buffer, parts: number, depth: number): number {
  let more = 0
  for (const part of elements(body, parts))
    for (const { key, value } of members(body, part)) {
      if (key === 'inlineData' || key === 'inline_data') more += mediumOf(body, value.start)
      else if (key === 'fileData' || key === 'file_data') more += FILE_BYTES
      else if (depth === 0 && (key === 'functionResponse' || key === 'function_response'))
        for (const field of members(body, value.start))
          if (field.key === 'parts') more += mediaIn(body, field.value.start, 1)
    }
  return more
}

function mediumOf(body: Buffer, at: number): number {
  let type = ''
  let data = 0
  for (const { key, value } of members(body, at))
    if (key === 'mimeType' || key === 'mime_type') type = body.toString('latin1', value.start, value.end).toLowerCase()
    else if (key === 'data' && body[value.start] === QUOTE) data = valueEnd(body, value.start) - value.start
  return type.startsWith('"image/') ? IMAGE_BYTES - data : data
}

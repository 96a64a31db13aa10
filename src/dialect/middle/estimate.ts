// Tokens of a request, reckoned where no upstream counts them (spec/domain.md §6.9): rounded up, never down.
import type { Ask, Part } from './form.ts'

// Of an image that fills what a vendor shows its models (1568 px on the long side); most are smaller.
const IMAGE = 1600
// Of a page of a document some 1500 to 3000 bytes of its text; its bytes are compressed.
const BYTES_OF_DOCUMENT = 8
// The frame around each turn, part and tool.
const FRAME = 4

/** Tokens of the prompt. */
export function estimateTokens(ask: Ask): number {
  let tokens = FRAME
  for (const { text } of ask.system) tokens += FRAME + tokensOf(text)
  for (const { parts } of ask.turns) {
    tokens += FRAME
    for (const part of parts) tokens += tokensOfPart(part)
  }
  for (const { name, description = '', schema = '', grammar = '' } of ask.tools)
    tokens += 2 * FRAME + tokensOf(name) + tokensOf(description) + tokensOf(schema) + tokensOf(grammar)
  if (ask.format?.kind === 'schema') tokens += tokensOf(ask.format.schema)
  return tokens
}

function tokensOfPart(part: Part): number {
  switch (part.type) {
    case 'text':
    case 'refusal':
      return tokensOf(part.text)
    // Reasoning of earlier turns is mostly not read again, but may be.
    case 'thought':
      return tokensOf(part.text)
    case 'call':
      return FRAME + tokensOf(part.name) + tokensOf('json' in part.input ? part.input.json : part.input.text)
    case 'result':
      return FRAME + part.parts.reduce((sum, one) => sum + tokensOfPart(one), 0)
    case 'media':
      if ('text' in part.at) return tokensOf(part.at.text)
      if (part.kind === 'image' || !('base64' in part.at)) return IMAGE
      return IMAGE + Math.ceil(part.at.base64.length / BYTES_OF_DOCUMENT)
    case 'opaque':
      return tokensOf(part.json)
  }
}

/** Four characters a token where they are nearly all of ASCII, else one. */
function tokensOf(text: string): number {
  let plain = 0
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 0x80) plain++
  return plain >= text.length * 0.8 ? Math.ceil(text.length / 4) : text.length
}

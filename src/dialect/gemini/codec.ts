// Gemini's codec: its requests and answers to the middle form, and from it.
import { mediaAtUrls } from '../middle/at-url.ts'
import type { Codec } from '../middle/codec.ts'
import { decodeWhole, GeminiDecoder } from './decode-answer.ts'
import { decodeAsk, decodeCount } from './decode-ask.ts'
import { encodeWhole, GeminiEncoder } from './encode-answer.ts'
import { encodeAsk, encodeCount } from './encode-ask.ts'
import { isRead } from './encode-turns.ts'
import { readFault, writeFault } from './faults.ts'

export const geminiCodec: Codec = {
  // A proof may stand at any part.
  carries: new Set(['thought', 'call', 'text']),
  decodeAsk,
  encodeAsk,
  wanted: ask => mediaAtUrls(ask, isRead),
  decoder: from => new GeminiDecoder(from),
  decodeWhole,
  encoder: asked => new GeminiEncoder(asked),
  encodeWhole,
  counting: {
    decodeAsk: decodeCount,
    encodeAsk: encodeCount,
    read(body) {
      try {
        const { totalTokens } = JSON.parse(body.toString('utf8')) as { totalTokens?: unknown }
        return Number.isSafeInteger(totalTokens) && Number(totalTokens) >= 0 ? Number(totalTokens) : undefined
      } catch {
        return undefined
      }
    },
    write: tokens => JSON.stringify({ totalTokens: tokens }),
  },
  readFault,
  writeFault,
}

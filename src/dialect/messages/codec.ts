// The Messages dialect to the middle form and from it.
import { count } from '../meter.ts'
import type { Codec } from '../middle/codec.ts'
import { decodeWhole, streamDecoder } from './decode-answer.ts'
import { decodeAsk } from './decode-ask.ts'
import { encodeWhole, streamEncoder } from './encode-answer.ts'
import { encodeAsk, encodeCount } from './encode-ask.ts'
import { readFault, writeFault } from './fault.ts'

export const messagesCodec: Codec = {
  carries: new Set(['thought'] as const),
  decodeAsk,
  encodeAsk,
  decoder: streamDecoder,
  decodeWhole,
  encoder: streamEncoder,
  encodeWhole,
  counting: {
    decodeAsk,
    encodeAsk: encodeCount,
    read(body) {
      try {
        return count((JSON.parse(body.toString('utf8')) as { input_tokens?: unknown } | null)?.input_tokens)
      } catch {
        return undefined
      }
    },
    write: tokens => JSON.stringify({ input_tokens: tokens }),
  },
  readFault,
  writeFault: (fault, _, requestId) => writeFault(fault, requestId),
}

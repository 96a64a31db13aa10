// Responses, to the middle form and from it.
import type { Codec } from '../middle/codec.ts'
import { openAiErrorOf, readOpenAiFault } from '../openai-faults.ts'
import { CompactionEncoder, compacted } from './compacting.ts'
import { ResponseDecoder } from './decode-answer.ts'
import { decodeAsk } from './decode-ask.ts'
import { ResponseEncoder } from './encode-answer.ts'
import { encodeAsk, encodeCount } from './encode-ask.ts'
import { encodeWhole } from './encode-whole.ts'

export const responsesCodec: Codec = {
  carries: new Set(['thought']),
  longestId: 64,
  decodeAsk,
  encodeAsk,
  decoder: from => new ResponseDecoder(from),
  decodeWhole: (body, from) => new ResponseDecoder(from).whole(body),
  encoder(asked) {
    const encoder = new ResponseEncoder(asked)
    return asked.ask.wants.compaction ? new CompactionEncoder(encoder, asked) : encoder
  },
  encodeWhole: (answer, asked) => encodeWhole(asked.ask.wants.compaction ? compacted(answer, asked) : answer, asked),
  counting: {
    decodeAsk,
    encodeAsk: encodeCount,
    read(body) {
      try {
        const { input_tokens } = JSON.parse(body.toString('utf8')) as { input_tokens?: unknown }
        return typeof input_tokens === 'number' && input_tokens >= 0 ? input_tokens : undefined
      } catch {
        return undefined
      }
    },
    write: tokens => JSON.stringify({ object: 'response.input_tokens', input_tokens: tokens }),
  },
  readFault: readOpenAiFault,
  writeFault: fault => JSON.stringify({ error: openAiErrorOf(fault) }),
}

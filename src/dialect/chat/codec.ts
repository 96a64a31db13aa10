// The Chat Completions dialect to the middle form and from it.
import type { Codec } from '../middle/codec.ts'
import { openAiErrorOf, readOpenAiFault } from '../openai-faults.ts'
import { decodeAsk } from './decode-ask.ts'
import { chatDecoder, decodeWhole } from './decoder.ts'
import { encodeAsk } from './encode-ask.ts'
import { chatEncoder, encodeWhole } from './encoder.ts'

export const chatCodec: Codec = {
  // No place in it takes a proof: they are kept here.
  carries: new Set(),
  longestId: 40,
  decodeAsk,
  encodeAsk,
  decoder: chatDecoder,
  decodeWhole,
  encoder: chatEncoder,
  encodeWhole,
  readFault: readOpenAiFault,
  writeFault: fault => JSON.stringify({ error: openAiErrorOf(fault) }),
}

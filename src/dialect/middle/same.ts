// The same dialect on both sides, of which one streams and the other does not: by the codec, with every proof as the vendor gave it.
import { randomBytes } from 'node:crypto'
import type { Gatherer } from '../dialect.ts'
import type { Asked, Codec } from './codec.ts'
import type { Issuer } from './form.ts'
import { Gathering } from './gather.ts'
import { InTurn } from './in-turn.ts'

const nobody: Issuer = { platform: 'openai', scope: '00000000', model: '' }

// Everything that the answer has is written, also what a client must ask for.
function asked(): Asked {
  return {
    ask: {
      dialect: 'messages',
      model: '',
      stream: true,
      system: [],
      turns: [],
      tools: [],
      choice: 'auto',
      sampling: {},
      limits: { stop: [] },
      cache: {},
      held: [],
      wants: { usage: true, reasoning: true },
      ext: {},
    },
    model: '',
    id: prefix => prefix + randomBytes(12).toString('hex'),
    created: Math.floor(Date.now() / 1000),
    promptTokens: 0,
    seal: seal => seal?.value ?? '',
  }
}

/** A whole answer as the stream that it would have been; undefined for what is no answer. */
export function asStreamBy(codec: Codec, body: Buffer): Buffer | undefined {
  const events = codec.decodeWhole(body, nobody)
  if (events.some(event => event.type === 'fail')) return undefined
  const encoder = codec.encoder(asked())
  const turn = new InTurn()
  return Buffer.from(
    events
      .flatMap(event => turn.take(event))
      .map(event => encoder.write(event))
      .join(''),
  )
}

// As large as a whole answer may be that is held back until it is known to be good.
const MOST_BYTES = 32 * 1024 * 1024

/** Puts a stream that was meant to be a whole answer together. */
export function gathererBy(codec: Codec): Gatherer {
  const decoder = codec.decoder(nobody)
  const gathering = new Gathering()
  let bytes = 0
  return {
    push(chunk) {
      bytes += chunk.length
      if (bytes <= MOST_BYTES) for (const event of decoder.push(chunk)) gathering.take(event)
    },
    end() {
      for (const event of decoder.end()) gathering.take(event)
      const { answer, fault } = gathering
      return !answer || fault || bytes > MOST_BYTES ? undefined : Buffer.from(codec.encodeWhole(answer, asked()))
    },
  }
}

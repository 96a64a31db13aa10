// A request of one dialect for an upstream of another, through the codecs alone.
import type { DialectName } from '../../src/dialect/dialect.ts'
import type { Issuer } from '../../src/dialect/middle/form.ts'
import { factsOf, type Vendor } from '../../src/dialect/middle/models.ts'
import { Translation } from '../../src/dialect/middle/translation.ts'
import { dialectNamed } from '../../src/dialect/table.ts'

const vendors: Record<DialectName, Vendor> = {
  messages: 'anthropic',
  chat: 'openai',
  responses: 'openai',
  gemini: 'gemini',
}

export interface Between {
  /** the vendor's own server */
  own?: boolean
  /** of the client's request, where its dialect says the model there */
  path?: string
  kept?: ReadonlyMap<string, string>
}

export interface Translated {
  translation: Translation
  /** what the upstream is asked, read */
  // biome-ignore lint/suspicious/noExplicitAny: whatever a dialect writes
  asked: any
  /** the header x-gw-dropped */
  dropped: string
  kept: Map<string, string>
}

/** @throws Failure */
export function translate(
  client: DialectName,
  upstream: DialectName,
  body: object | string,
  { own = false, path = '' }: Between = {},
): Translated {
  const from = dialectNamed(client).codec!
  const ask = from.decodeAsk(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), path)
  const platform = vendors[upstream]
  const issuer: Issuer = { platform, scope: '0a1b2c3d', model: ask.model }
  const kept = new Map<string, string>()
  const translation = new Translation({
    client: from,
    upstream: dialectNamed(upstream).codec!,
    ask,
    model: ask.model,
    promptTokens: 42,
    now: 1764300000000,
    keep: (key, envelope) => void kept.set(key, envelope),
    target: {
      model: ask.model,
      facts: factsOf(platform, ask.model),
      own,
      internal: false,
      issuer,
      kept: () => undefined,
      seals: true,
      settings: { autoCache: true },
    },
  })
  return { translation, asked: JSON.parse(translation.asking.body), dropped: translation.notes.header, kept }
}

/** What a client hears of a stream, cut into pieces of so many bytes. */
export function relayed({ translation }: Translated, stream: string, pieceBytes = 7): string {
  const relay = translation.streaming()
  const bytes = Buffer.from(stream)
  let out = ''
  for (let at = 0; at < bytes.length; at += pieceBytes) out += relay.push(bytes.subarray(at, at + pieceBytes))
  return out + relay.end()
}

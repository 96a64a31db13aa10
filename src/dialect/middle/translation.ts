// Translation: one request of a client asked in an upstream's dialect, and its answer told in the client's.
import { randomBytes } from 'node:crypto'
import { Answers } from './answering.ts'
import type { Asked, Asking, Codec, Decoder, Encoder, Target } from './codec.ts'
import type { Ask, Event, Fault } from './form.ts'
import { Gathering } from './gather.ts'
import { Notes } from './notes.ts'
import { enclose } from './seal.ts'

export interface Translated {
  client: Codec
  upstream: Codec
  ask: Ask
  target: Target
  /** the client's name for the model */
  model: string
  /** tokens of the prompt, reckoned */
  promptTokens: number
  /** Unix ms */
  now: number
  /** a proof that the client's dialect cannot carry, in our envelope */
  keep(key: string, envelope: string): void
}

export class Translation {
  readonly asking: Asking
  readonly notes = new Notes()
  readonly #by: Translated
  readonly #asked: Asked

  /** @throws Failure UNTRANSLATABLE */
  constructor(by: Translated) {
    this.#by = by
    const { issuer } = by.target
    this.asking = by.upstream.encodeAsk(by.ask, by.target, this.notes)
    this.#asked = {
      ask: by.ask,
      model: by.model,
      id: prefix => prefix + randomBytes(12).toString('hex'),
      created: Math.floor(by.now / 1000),
      promptTokens: by.promptTokens,
      seal: (seal, text, callId = '') => enclose({ issuer: seal?.issuer ?? issuer, value: seal?.value, text, callId }),
    }
  }

  /** For an answer that streams, to a client that wants a stream. */
  streaming(): Relay {
    return new Relay(this.#by.upstream.decoder(this.#by.target.issuer), this.#answers(), this.#encoder())
  }

  /** A whole answer as a stream; undefined for what is no answer. */
  wholeAsStream(body: Buffer): string | undefined {
    const events = this.#wholeEvents(body)
    if (events.some(({ type }) => type === 'fail')) return undefined
    const encoder = this.#encoder()
    return events.map(event => encoder.write(event)).join('')
  }

  /** A whole answer as a whole one; undefined for what is no answer. */
  whole(body: Buffer): string | undefined {
    const gathering = new Gathering()
    for (const event of this.#wholeEvents(body)) gathering.take(event)
    return this.#written(gathering)
  }

  /** For an answer that streams, to a client that wants a whole one; `end` gives undefined for what is none. */
  gathering(): { push(chunk: Buffer): void; end(): string | undefined } {
    const decoder = this.#by.upstream.decoder(this.#by.target.issuer)
    const answers = this.#answers()
    const gathering = new Gathering()
    const take = (events: readonly Event[]) => {
      for (const event of events) for (const one of answers.take(event)) gathering.take(one)
    }
    return {
      push: chunk => take(decoder.push(chunk)),
      end: () => {
        take(decoder.end())
        return this.#written(gathering)
      },
    }
  }

  /** An upstream's error body, as the client's. */
  error(status: number, body: Buffer, requestId: string): string {
    const { client, upstream } = this.#by
    return client.writeFault(upstream.readFault(status, body), status, requestId)
  }

  #wholeEvents(body: Buffer): Event[] {
    const answers = this.#answers()
    return this.#by.upstream.decodeWhole(body, this.#by.target.issuer).flatMap(event => [...answers.take(event)])
  }

  #written({ answer, fault }: Gathering): string | undefined {
    return answer && !fault ? this.#by.client.encodeWhole(answer, this.#asked) : undefined
  }

  #answers(): Answers {
    const { client, keep, target } = this.#by
    return new Answers({
      wires: this.asking.wires,
      carries: client.carries,
      longestId: client.longestId,
      id: this.#asked.id,
      keep: (key, { issuer = target.issuer, value }, text) => keep(key, enclose({ issuer, value, text, callId: '' })),
    })
  }

  #encoder(): Encoder {
    return this.#by.client.encoder(this.#asked)
  }
}

/** Decoder, answers and encoder in one: bytes of an upstream in, text for a client out. */
export class Relay {
  readonly #decoder: Decoder
  readonly #answers: Answers
  readonly #encoder: Encoder

  constructor(decoder: Decoder, answers: Answers, encoder: Encoder) {
    this.#decoder = decoder
    this.#answers = answers
    this.#encoder = encoder
  }

  push(chunk: Buffer): string {
    return this.#written(this.#decoder.push(chunk))
  }

  end(): string {
    return this.#written(this.#decoder.end())
  }

  /** The end of an answer that broke off, in its dialect. */
  fail(fault: Fault): string {
    return this.#encoder.write({ type: 'fail', fault })
  }

  #written(events: readonly Event[]): string {
    let out = ''
    for (const event of events) for (const one of this.#answers.take(event)) out += this.#encoder.write(one)
    return out
  }
}

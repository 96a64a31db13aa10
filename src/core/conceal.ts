// Conceal: a credential that its upstream quotes is taken out of what it said, before anybody hears or keeps it.
import type { Credential } from './credential.ts'

const SHOWN = '***'
// What is shorter would be found in innocent words.
const SHORTEST = 6

/** Knows the secrets of one credential, as they are and as JSON and URLs write them. */
export class Concealer {
  readonly #forms: readonly string[]
  readonly #longest: number

  constructor(credential: Credential) {
    const secrets = secretsOf(credential.reveal()).filter(secret => secret.length >= SHORTEST)
    const forms = secrets.flatMap(formsOf)
    // The longest first: a secret may begin like another.
    this.#forms = [...new Set(forms)].sort((a, b) => b.length - a.length)
    this.#longest = this.#forms[0]?.length ?? 0
  }

  text(text: string): string {
    return this.#forms.reduce((clean, form) => clean.replaceAll(form, SHOWN), text)
  }

  /** The same of bytes, of which all others stay as they are. */
  bytes(bytes: Buffer): Buffer {
    if (!this.#forms.some(form => bytes.includes(form))) return bytes
    const text = this.#forms.reduce(
      (clean, form) => clean.replaceAll(Buffer.from(form).toString('latin1'), SHOWN),
      bytes.toString('latin1'),
    )
    return Buffer.from(text, 'latin1')
  }

  /** Of bytes that come piece by piece: what could be the beginning of a secret waits for the next piece. */
  pieces(): Pieces {
    return new Pieces(this, Math.max(0, 3 * this.#longest - 1))
  }
}

/** A secret as it is, as JSON has it, as JSON within JSON, which an error that quotes a whole request is, and as URLs write it. */
export function formsOf(secret: string): string[] {
  const json = inJson(secret)
  return [secret, json, inJson(json), encodeURIComponent(secret.toWellFormed())]
}

const inJson = (text: string): string => JSON.stringify(text).slice(1, -1)

export class Pieces {
  readonly #concealer: Concealer
  readonly #kept: number
  #rest = Buffer.alloc(0)

  /** `kept`: how many bytes wait */
  constructor(concealer: Concealer, kept: number) {
    this.#concealer = concealer
    this.#kept = kept
  }

  push(piece: Buffer): Buffer {
    const clean = this.#concealer.bytes(Buffer.concat([this.#rest, piece]))
    const ready = Math.max(0, clean.length - this.#kept)
    this.#rest = clean.subarray(ready) as Buffer<ArrayBuffer>
    return clean.subarray(0, ready)
  }

  end(): Buffer {
    return this.#rest
  }
}

// Of an OAuth credential its tokens and secrets; it names itself by other fields, which are none.
function secretsOf(value: string): string[] {
  if (!value.startsWith('{')) return [value]
  try {
    const fields = Object.entries(JSON.parse(value) as Record<string, unknown>)
    return fields.flatMap(([name, field]) =>
      /token|secret|key|password/i.test(name) && typeof field === 'string' ? [field] : [],
    )
  } catch {
    return [value]
  }
}

const made = new WeakMap<Credential, Concealer>()

export function concealerOf(credential: Credential): Concealer {
  let found = made.get(credential)
  if (!found) made.set(credential, (found = new Concealer(credential)))
  return found
}

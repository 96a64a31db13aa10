// A secret that an upstream is shown: it has no printable form, so that no log line, view or error can carry it by accident.
import { inspect } from 'node:util'

const SHOWN = '[credential]'

/** What it hides can be had by `reveal` alone: no property, iterator, JSON, text or copy of it holds the secret. */
export class Credential {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** The plain text: for the header of an upstream request, and for nothing that is kept or shown. */
  reveal(): string {
    return this.#value
  }

  toString(): string {
    return SHOWN
  }

  toJSON(): string {
    return SHOWN
  }

  [Symbol.toPrimitive](): string {
    return SHOWN
  }

  [inspect.custom](): string {
    return SHOWN
  }
}

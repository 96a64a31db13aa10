// What a translation leaves out or changes, by the client's own names for it: the header x-gw-dropped.
import { Failure } from '../../lib/failure.ts'

export class Notes {
  readonly #tokens = new Set<string>()

  /** Left out: the client's own field, dotted, without indexes. */
  drop(field: string): void {
    this.#tokens.add(field)
  }

  /** Said otherwise than the client did. */
  change(field: string): void {
    this.#tokens.add(`${field}~`)
  }

  /** What has no other way to be said, and must not be left out. @throws Failure UNTRANSLATABLE */
  refuse(field: string, why: string): never {
    throw new Failure('UNTRANSLATABLE', [field, why], { param: field })
  }

  get tokens(): readonly string[] {
    return [...this.#tokens].sort()
  }

  /** The header's value; '' when nothing is lost. */
  get header(): string {
    return this.tokens.join(', ')
  }
}

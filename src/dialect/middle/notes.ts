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
    const tokens = this.tokens.map(headerToken)
    let header = ''
    for (const [i, token] of tokens.entries()) {
      const longer = header === '' ? token : `${header}, ${token}`
      if (longer.length > LONGEST_HEADER) return `${header}, and ${tokens.length - i} more`
      header = longer
    }
    return header
  }
}

// Clients give up on an answer whose head is larger than 8 KB or 16 KB, and there are other fields in it.
const LONGEST_HEADER = 2_000
const LONGEST_TOKEN = 100

/** Field names are the client's: what no header may hold, or would not be told apart there, is percent-encoded. */
function headerToken(token: string): string {
  const short = token.length > LONGEST_TOKEN ? `${token.slice(0, LONGEST_TOKEN)}...` : token
  return short.toWellFormed().replace(/[^!-+\--~]+|%/g, encodeURIComponent)
}

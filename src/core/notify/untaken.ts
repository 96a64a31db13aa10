// Untaken: why a channel did not take a message.
import { isGuards } from '../../lib/guard/guard.ts'

interface Details {
  /** asking again changes nothing */
  definite?: boolean
  /** the receiver itself asks to wait so long, ms */
  afterMs?: number
}

export class Untaken extends Error {
  readonly definite: boolean
  readonly afterMs: number

  constructor(message: string, { definite = false, afterMs = 0 }: Details = {}) {
    super(message)
    this.definite = definite
    this.afterMs = afterMs
  }

  /** Of an error of a connection. */
  static by(error: unknown): Untaken {
    if (error instanceof Untaken) return error
    const { code = '', message } = error as NodeJS.ErrnoException
    if (isGuards(error)) return new Untaken(message, { definite: true })
    return new Untaken(
      code === '' || message.includes(code) || message.startsWith('no ') ? message : `${code}: ${message}`,
    )
  }
}

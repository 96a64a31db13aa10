// Tokens of the token endpoint: which was given out, and whose it is.

/**
 * What it has given out. A refresh token that it does not know begins a family of its own; of a family only the last token is good, and
 * what is made of it is `mock-access.FAMILY.N` and `mock-refresh.FAMILY.N`. Calls with such an access token are the family's: scripts, stats
 * and proofs know them by the token that the family began with.
 */
export class Tokens {
  readonly #last = new Map<string, number>()
  readonly #expires = new Map<string, number>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  /** The tokens that follow; undefined when this one was used before. */
  next(refreshToken: string, expiresIn: number, rotates: boolean): { access: string; refresh: string } | undefined {
    const [family, n] = partsOf('mock-refresh', refreshToken) ?? [refreshToken, 0]
    const before = this.#last.get(family) ?? 0
    if (rotates && before !== n) return undefined
    const access = `mock-access.${family}.${before + 1}`
    this.#last.set(family, before + 1)
    this.#expires.set(access, this.#now() + expiresIn * 1000)
    return { access, refresh: rotates ? `mock-refresh.${family}.${before + 1}` : refreshToken }
  }

  /** Whose call it is that brings this credential, and whether it is too old; one that a later one has replaced is good until then. */
  owner(credential: string): { credential: string; expired: boolean } {
    const expires = this.#expires.get(credential)
    const [family] = partsOf('mock-access', credential) ?? []
    if (family === undefined || expires === undefined) return { credential, expired: false }
    return { credential: family, expired: expires <= this.#now() }
  }

  clear(): void {
    this.#last.clear()
    this.#expires.clear()
  }
}

function partsOf(kind: string, token: string): [family: string, n: number] | undefined {
  const [, family, n] = new RegExp(`^${kind}\\.(.+)\\.(\\d+)$`).exec(token) ?? []
  return family === undefined ? undefined : [family, Number(n)]
}

// Where requests wait that a script holds, until somebody lets them go.

export interface Gate {
  /** Resolves at the next release of this credential, or of all. */
  wait(credential: string): Promise<void>
  release(credential?: string): void
}

export function createGate(): Gate {
  const waiting = new Map<string, (() => void)[]>()

  return {
    wait(credential) {
      return new Promise(go => waiting.set(credential, [...(waiting.get(credential) ?? []), go]))
    },
    release(credential) {
      const credentials = credential === undefined ? [...waiting.keys()] : [credential]
      for (const one of credentials) {
        const going = waiting.get(one) ?? []
        waiting.delete(one)
        for (const go of going) go()
      }
    },
  }
}

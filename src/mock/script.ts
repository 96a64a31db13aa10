// The scripts: which step the next request of a credential takes.
import { checkSteps } from './check.ts'
import type { Reply } from './dialect.ts'
import type { Step } from './step.ts'

/** A reply with what would be the same work for every request that gets it. */
export interface Made {
  reply: Reply
  /** All pieces in one. */
  bytes: Buffer
  /** Of those bytes, hex; null until somebody records it. */
  sha256: string | null
  /** Header names and values in turn, without the request id. */
  head: string[]
}

/** A step made ready to be played. */
export interface Ready {
  step: Step
  /** Nothing in it takes time or breaks off, so the whole reply may go out in one write. */
  atOnce: boolean
  /** Replies that will be asked for again, by all of a request that shows in them. */
  made: Map<string, Made>
}

export interface Scripts {
  /** @throws TypeError when a step is not right, naming the field. */
  set(credential: string, steps: unknown): void
  /** Takes the next step for this path. The last one that fits the path is never used up. */
  next(credential: string, path: string): Ready
  clear(): void
}

export function createScripts(): Scripts {
  const byCredential = new Map<string, Ready[]>()
  const unscripted = readyFor({})

  return {
    set(credential, steps) {
      byCredential.set(credential, checkSteps(steps).map(readyFor))
    },
    next(credential, path) {
      const steps = byCredential.get(credential) ?? byCredential.get('*')
      if (!steps) return unscripted
      const fits = ({ step }: Ready) => step.on === undefined || step.on === path
      const at = steps.findIndex(fits)
      const found = steps[at]
      if (!found) return unscripted
      if (steps.some((later, index) => index > at && fits(later))) steps.splice(at, 1)
      return found
    },
    clear() {
      byCredential.clear()
    },
  }
}

const slow = ['delayMs', 'gapMs', 'drip', 'hold', 'reset', 'close', 'end', 'splitUtf8', 'encoding'] as const

export function readyFor(step: Step): Ready {
  return { step, atOnce: slow.every(field => step[field] === undefined), made: new Map() }
}

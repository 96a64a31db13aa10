// Asks the daemon for the live view once per interval, and goes on asking while it does not answer.
import { setTimeout as sleep } from 'node:timers/promises'
import type { ControlClient } from '../control/client.ts'
import type { LiveView } from '../control/view.ts'
import { Refusal } from '../lib/refusal.ts'

/** That the daemon does not answer. */
export interface Gone {
  /** true: nobody is there; false: it answers with an error */
  readonly silent: boolean
  /** since its last answer, or since the first attempt when there was none */
  readonly forMs: number
  readonly why: string
}

export interface FeedState {
  /** the last one that came; null before the first */
  readonly view: LiveView | null
  readonly gone: Gone | null
}

export interface Feed {
  /** The same object until something new is known. */
  state(): FeedState
  /** Calls `heard` after each attempt. @returns what ends that */
  subscribe(heard: () => void): () => void
  stop(): void
}

/** Starts asking at once. */
export function startFeed(client: ControlClient, everyMs: number): Feed {
  const stopped = new AbortController()
  const listeners = new Set<() => void>()
  let state: FeedState = { view: null, gone: null }
  let heardAt = performance.now()

  async function ask(): Promise<FeedState> {
    try {
      const view = await client.get<LiveView>('/live')
      heardAt = performance.now()
      return { view, gone: null }
    } catch (error) {
      const silent = error instanceof Refusal && error.kind === 'unreachable'
      const gone = { silent, forMs: performance.now() - heardAt, why: (error as Error).message }
      return { view: state.view, gone }
    }
  }

  async function run() {
    while (!stopped.signal.aborted) {
      const startedAt = performance.now()
      const next = await ask()
      if (stopped.signal.aborted) return
      state = next
      for (const heard of listeners) heard()
      // From start to start, so that a slow answer does not slow the refresh too.
      const rest = Math.max(0, everyMs - (performance.now() - startedAt))
      await sleep(rest, undefined, { signal: stopped.signal }).catch(() => {})
    }
  }
  run()

  return {
    state: () => state,
    subscribe(heard) {
      listeners.add(heard)
      return () => listeners.delete(heard)
    },
    stop: () => stopped.abort(),
  }
}

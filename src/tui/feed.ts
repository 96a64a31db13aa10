// What `gw top` draws: the live view put together of the stream's frames and rows, and that it broke off.
import type { LiveFrame, LiveMessage, LiveView, RowKind, RowKinds } from '../control/view.ts'
import { type Lost, watchDaemon } from '../control/watch.ts'

/** That the daemon does not answer. */
export interface Gone {
  /** true: nobody is there; false: it refuses */
  readonly silent: boolean
  /** since it said something last, or since the first try when it never did */
  readonly forMs: number
  readonly why: string
  /** the next try is the so manieth, so soon */
  readonly attempt: number
  readonly againMs: number
}

export interface FeedState {
  /** the last one that came; null before the first */
  readonly view: LiveView | null
  readonly gone: Gone | null
}

export interface Feed {
  /** The same object until something new is known. */
  state(): FeedState
  /** Calls `heard` when there is something new. @returns what ends that */
  subscribe(heard: () => void): () => void
  stop(): void
}

/** How often it is told for how long the daemon is gone. */
const COUNT_MS = 1_000

const kinds: readonly RowKind[] = ['accounts', 'users', 'groups']

/** Starts watching at once. `waitsMs` as of `watchDaemon`. */
export function startFeed(socket: string, waitsMs?: readonly number[]): Feed {
  const listeners = new Set<() => void>()
  const told = new Assembly()
  let state: FeedState = { view: null, gone: null }
  let heardAt = performance.now()
  let counting: NodeJS.Timeout | undefined
  let drawing: NodeJS.Immediate | undefined

  const change = (next: FeedState) => {
    state = next
    for (const heard of listeners) heard()
  }
  function lost({ silent, why, attempt, afterMs }: Lost): void {
    // What comes next tells everything from the beginning.
    told.begin()
    const at = performance.now()
    const tell = () => {
      const now = performance.now()
      const againMs = Math.max(0, afterMs - (now - at))
      change({ view: state.view, gone: { silent, why, attempt, forMs: now - heardAt, againMs } })
    }
    clearInterval(counting)
    counting = setInterval(tell, COUNT_MS)
    tell()
  }
  const stop = watchDaemon(
    { socket, rows: kinds, ...(waitsMs && { waitsMs }) },
    {
      lost,
      message(message) {
        heardAt = performance.now()
        told.hear(message)
        // A frame and the rows that go with it come as several messages, and are one picture.
        drawing ??= setImmediate(() => {
          drawing = undefined
          const view = told.view()
          if (view === undefined) return
          clearInterval(counting)
          change({ view, gone: null })
        })
      },
    },
  )
  return {
    state: () => state,
    subscribe(heard) {
      listeners.add(heard)
      return () => listeners.delete(heard)
    },
    stop() {
      stop()
      clearInterval(counting)
      clearImmediate(drawing)
    },
  }
}

/** Frames and rows as one view. */
class Assembly {
  #frame: LiveFrame | undefined
  readonly #rows: { [K in RowKind]: Map<string, RowKinds[K]> | undefined } = {
    accounts: undefined,
    users: undefined,
    groups: undefined,
  }

  begin(): void {
    this.#frame = undefined
    for (const kind of kinds) this.#rows[kind] = undefined
  }

  hear(message: LiveMessage): void {
    if (message.type === 'frame') this.#frame = message
    else if (message.type === 'rows') {
      if (message.reset) this.#rows[message.of] = new Map()
      const rows = this.#rows[message.of] as Map<string, RowKinds[RowKind]> | undefined
      for (const name of message.gone) rows?.delete(name)
      for (const row of message.rows) rows?.set(row.name, row)
    }
  }

  /** Undefined until all of it is known. */
  view(): LiveView | undefined {
    const frame = this.#frame
    const { accounts, users, groups } = this.#rows
    if (!frame || !accounts || !users || !groups) return undefined
    return {
      at: frame.at,
      requests_per_s: frame.qps,
      tokens_per_s: frame.tps,
      in_flight: frame.in_flight,
      waiting: frame.waiting,
      error_rate: (frame.error_rate ?? 0) / 100,
      ttft_ms: frame.ttft_ms ?? { p50: 0, p95: 0, p99: 0 },
      users: [...users.values()],
      accounts: [...accounts.values()],
      groups: [...groups.values()],
      nodes: frame.nodes,
    }
  }
}

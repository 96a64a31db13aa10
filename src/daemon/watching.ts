// What the live stream says: each second, while somebody watches, one frame and the rows that changed.
import type { AccountState, AccountView, LiveFrame, RowKind } from '../control/view.ts'
import { isOut } from '../control/view.ts'
import type { Gateway } from '../gateway/gateway.ts'
import type { StreamSource } from '../ops/stream.ts'
import { firstTokens, type Pulses, ratesOf, Steps } from './pulse.ts'
import { Rows } from './rows.ts'
import { accountRows, groupRows, userRows } from './views/live.ts'

const SECOND = 1_000
/** Processes tell of a second when it ends; so much later all have, ms. */
const TELL_MS = 150
const kinds: readonly RowKind[] = ['accounts', 'users', 'groups']

export interface Watching {
  source: StreamSource
  close(): void
}

/** Begins the beat of this process at once. `shared`: others must be waited for. */
export function startWatching(
  gw: Gateway,
  pulses: Pulses,
  { phase, shared }: { phase: () => string; shared: boolean },
): Watching {
  let timer: NodeJS.Timeout | undefined
  let closed = false
  /** how many want rows of each kind, and how many watch at all */
  const wanted = { accounts: 0, users: 0, groups: 0 }
  let watching = 0
  let telling = begun()
  let building: Promise<string> | undefined
  // Of the newest frame, as long as somebody watches.
  let current: Promise<string> | undefined
  let next = Promise.withResolvers<void>()

  async function build(): Promise<string> {
    // Whoever watches may leave meanwhile: then this is of nobody's telling, and the next begins anew.
    const mine = telling
    const { rows } = mine
    const all = await pulses.all()
    const now = performance.now()
    const step = mine.steps.next(all)
    const per = mine.steppedAt === 0 ? 1 : Math.max(1, Math.round((now - mine.steppedAt) / SECOND))
    mine.steppedAt = now

    const states: Partial<Record<AccountState, number>> = {}
    const accounts = new Map<string, AccountView>()
    await rows.accounts.update(
      through(accountRows(gw, all), account => {
        states[account.state] = (states[account.state] ?? 0) + 1
        accounts.set(account.name, account)
      }),
    )
    if (wanted.users > 0) await rows.users.update(userRows(gw, all))
    if (wanted.groups > 0) await rows.groups.update(once(groupRows(gw, all, accounts)))

    const names = new Set(all.flatMap(pulse => Object.keys(pulse.platforms)))
    const frame: LiveFrame = {
      type: 'frame',
      at: new Date(gw.now()).toISOString(),
      phase: phase(),
      requests: step.all.requests,
      tokens: step.all.tokens,
      ...ratesOf(
        step.all,
        all.map(pulse => pulse.all),
        per,
      ),
      waiting: all.reduce((sum, pulse) => sum + pulse.waiting, 0),
      ttft_ms: firstTokens(all),
      platforms: Object.fromEntries(
        [...names].sort().map(name => {
          const counts = all.flatMap(pulse => pulse.platforms[name] ?? [])
          return [name, ratesOf(step.platforms[name]!, counts, per)]
        }),
      ),
      accounts: {
        total: accounts.size,
        out: [...accounts.values()].filter(account => isOut(account.state)).length,
        states,
      },
      nodes: all.map(pulse => pulse.node),
    }
    return JSON.stringify(frame)
  }

  /** One at a time: a frame that takes longer than a second takes the place of the next. */
  function renew(): Promise<string> {
    if (building) return building
    const mine = build().finally(() => {
      if (building === mine) building = undefined
    })
    building = mine
    return mine
  }

  async function second(): Promise<void> {
    await pulses.beat()
    if (watching === 0) return
    if (shared) await new Promise(resolve => setTimeout(resolve, TELL_MS))
    current = renew()
    try {
      await current
    } finally {
      tell()
    }
  }

  function tell(): void {
    next.resolve()
    next = Promise.withResolvers()
  }

  // At the full second, so that processes of one clock tell of the same.
  function wait(): void {
    timer = setTimeout(
      () => {
        const told = second().catch(error => gw.log.warn(`live stream: ${(error as Error).message}`))
        void told.finally(() => closed || wait())
      },
      SECOND - (gw.now() % SECOND),
    ).unref()
  }
  wait()

  return {
    async source(query, send, gone) {
      const asked = query.get('rows')?.split(',') ?? ['accounts']
      const mine = kinds.filter(kind => asked.includes(kind))
      for (const kind of mine) wanted[kind]++
      watching++
      const seen = { accounts: 0, users: 0, groups: 0 }
      let told: Promise<string> | undefined
      try {
        while (!gone.aborted) {
          const coming = next.promise
          const newest = (current ??= renew())
          // A frame that took longer than its second is the next one's, too.
          if (newest !== told) await send(await newest)
          told = newest
          for (const kind of mine) {
            const news = telling.rows[kind].since(seen[kind], kind)
            seen[kind] = news.seen
            for (const message of news.messages) await send(message)
          }
          await coming
        }
      } finally {
        for (const kind of mine) wanted[kind]--
        if (--watching === 0) {
          // Nobody counts from here on, and nobody needs what was told.
          telling = begun()
          current = undefined
          building = undefined
        }
      }
    },
    close() {
      closed = true
      clearTimeout(timer)
      tell()
    },
  }
}

interface Telling {
  steps: Steps
  rows: Record<RowKind, Rows>
  /** when the last frame was made; 0: there was none */
  steppedAt: number
}

const begun = (): Telling => ({
  steps: new Steps(),
  rows: { accounts: new Rows(), users: new Rows(), groups: new Rows() },
  steppedAt: 0,
})

async function* through<T>(parts: AsyncIterable<T[]>, see: (one: T) => void): AsyncGenerator<T[]> {
  for await (const part of parts) {
    for (const one of part) see(one)
    yield part
  }
}

async function* once<T>(part: T): AsyncGenerator<T> {
  yield part
}

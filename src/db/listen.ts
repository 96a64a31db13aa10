// The ears of a process: it hears what others change by LISTEN, and by a notification to itself whether it hears at all.
import { randomBytes } from 'node:crypto'
import pg from 'pg'

/** Channels that the triggers of migrations/ notify: the nouns of the snapshot, the health of accounts, the user whose money was changed, and nodes that come and go. */
export const CHANGED = 'gw_changed'
export const HEALTH = 'gw_health'
export const MONEY = 'gw_money'
export const NODES = 'gw_nodes'

/**
 * What is done with a notification. '' after a reconnection: anything may have changed, maybe on another server. undefined
 * while notifications do not arrive, or are not known to, each second: what is there is to be asked for.
 */
export type Heard = (payload: string | undefined) => void

export interface Ears {
  /** Listens on a channel. @throws when that fails */
  hear(channel: string, heard: Heard): Promise<void>
  /** Asks it now, and with every beat from now on, on the connection of the heart. @throws what the first asking throws */
  beside(ask: (client: pg.Client) => Promise<void>): Promise<void>
  /** All who listen are told that anything may have changed. */
  renew(): void
  /** why what others change may be heard late or not at all, in words; undefined while all is well */
  trouble(): string | undefined
  close(): Promise<void>
}

export interface EarsOptions {
  log: (level: 'info' | 'warn', line: string) => void
  /** ms between two beats; default 2 s */
  beatMs?: number | undefined
}

const POLL_MS = 1_000
/** Of so many beats none came back: something is wrong. */
const BEATS = 2.25

/**
 * Opens the ears. The heart beats on a connection of its own, not on the one that listens: behind a transaction pooler
 * (PgBouncer) a session that listens and then notifies would hear itself and nobody else.
 * Resolves when the first connection listens. @throws when that fails
 */
export async function openEars(connection: pg.ClientConfig, options: EarsOptions): Promise<Ears> {
  const { log, beatMs = 2_000 } = options
  const patience = beatMs * BEATS
  const channels = new Map<string, Heard[]>()
  const beat = `gw_beat_${randomBytes(6).toString('hex')}`
  let ear: pg.Client | undefined
  let mouth: pg.Client | undefined
  let closed = false
  let timer: NodeJS.Timeout | undefined
  let heardAt = performance.now()
  // Of the connection that listens now: whether a beat has come back on it.
  let proven = false
  // Of the one before: whether none came back. Then it is not taken on trust that they do now.
  let distrusted = false
  let answeredAt = performance.now()
  let beating: Promise<void> | undefined
  let told: string | undefined
  const asks: ((client: pg.Client) => Promise<void>)[] = []

  const silent = () => performance.now() - answeredAt > patience
  const deaf = () => performance.now() - heardAt > patience
  const tell = (payload: string | undefined) => {
    for (const heards of channels.values()) for (const heard of heards) heard(payload)
  }

  async function connect(): Promise<void> {
    const fresh = await opened({ ...connection, application_name: 'gw listen' })
    try {
      for (const channel of [beat, ...channels.keys()]) await fresh.query(`listen ${channel}`)
    } catch (error) {
      leave(fresh)
      throw error
    }
    if (closed) return leave(fresh)
    ear = fresh
    proven = false
    if (!distrusted) heardAt = performance.now()
    fresh.on('notification', ({ channel, payload = '' }) => {
      if (channel === beat) {
        heardAt = performance.now()
        proven = true
        distrusted = false
      } else for (const heard of channels.get(channel) ?? []) heard(payload)
    })
    fresh.once('end', () => {
      ear = undefined
      distrusted ||= deaf() && !silent()
      if (closed) return
      log('warn', 'lost the connection that hears changes; reconnecting')
      retry(250)
    })
  }

  function retry(ms: number): void {
    timer = setTimeout(() => {
      connect().then(
        () => {
          if (closed) return
          log('info', 'hearing changes again')
          tell('')
        },
        () => {
          if (!closed) retry(Math.min(ms * 2, 5_000))
        },
      )
    }, ms)
  }

  async function spoken(): Promise<pg.Client> {
    const fresh = await opened({ ...connection, application_name: 'gw heartbeat' })
    fresh.once('end', () => {
      if (mouth === fresh) mouth = undefined
    })
    return fresh
  }

  async function speak(): Promise<void> {
    try {
      mouth ??= await spoken()
      if (closed) return leave(mouth)
      await mouth.query(`select pg_notify('${beat}', '')`)
      answeredAt = performance.now()
      // What one of them meets is its own to tell.
      for (const ask of asks) await ask(mouth).catch(() => {})
    } catch {
      // Whatever it is, `silent` tells it in time.
      if (mouth) leave(mouth)
      mouth = undefined
    }
  }

  function watch(): void {
    const now = trouble()
    if (now === told) return
    if (now !== undefined) log('warn', now)
    else log('info', 'notifications of Postgres arrive again')
    // What was missed meanwhile.
    if (now === undefined) tell('')
    told = now
  }

  function trouble(): string | undefined {
    if (silent()) return 'database: Postgres does not answer; serving by what was known last'
    if (deaf())
      return 'database: notifications of Postgres do not arrive, so changes are asked for each second (a transaction pooler in between? Let database.url lead to Postgres itself, or to a pool of sessions)'
    return undefined
  }

  await connect()
  const beats = setInterval(() => {
    watch()
    beating ??= speak().finally(() => (beating = undefined))
    // It may be gone without a word, and another may be there.
    if (mouth && performance.now() - answeredAt > 5 * patience) {
      leave(mouth)
      mouth = undefined
      beating = undefined
    }
  }, beatMs).unref()
  const polls = setInterval(() => {
    watch()
    if ((!proven || deaf()) && !silent()) tell(undefined)
  }, POLL_MS).unref()
  beating = speak().finally(() => (beating = undefined))

  return {
    async hear(channel, heard) {
      const others = channels.get(channel)
      if (others) return void others.push(heard)
      channels.set(channel, [heard])
      await ear?.query(`listen ${channel}`)
    },
    async beside(ask) {
      await beating
      mouth ??= await spoken()
      await ask(mouth)
      asks.push(ask)
    },
    renew: () => tell(''),
    trouble,
    async close() {
      closed = true
      clearTimeout(timer)
      clearInterval(beats)
      clearInterval(polls)
      if (ear) leave(ear)
      if (mouth) leave(mouth)
    },
  }
}

async function opened(connection: pg.ClientConfig): Promise<pg.Client> {
  // TCP keep-alive: a connection that died in silence must not leave us deaf for ever.
  const client = new pg.Client({ ...connection, keepAlive: true, keepAliveInitialDelayMillis: 10_000 })
  client.on('error', () => {}) // the end that follows says it
  try {
    await client.connect()
  } catch (error) {
    leave(client)
    throw error
  }
  return client
}

/** Not waited for: a server that stands still takes no leave. */
function leave(client: pg.Client): void {
  void client.end().catch(() => {})
}

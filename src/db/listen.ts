// Hears what other processes change: LISTEN on a connection of its own that comes back when it is lost.
import pg from 'pg'

/** Channels that the triggers of migrations/ notify: the nouns of the snapshot, the health of accounts, and the user whose money was changed. */
export const CHANGED = 'gw_changed'
export const HEALTH = 'gw_health'
export const MONEY = 'gw_money'

export interface Listening {
  close(): Promise<void>
}

/**
 * Calls `heard` with the payload of every notification, and with '' after every reconnection, since what happened in between
 * was missed.
 * Resolves when the first connection listens. @throws when that fails
 */
export async function listen(
  connection: pg.ClientConfig,
  channel: string,
  heard: (payload: string) => void,
  log: (level: 'info' | 'warn', line: string) => void,
): Promise<Listening> {
  let client: pg.Client | undefined
  let closed = false
  let timer: NodeJS.Timeout | undefined
  let connecting: Promise<void> = Promise.resolve()

  async function connect(): Promise<void> {
    // TCP keep-alive: a connection that died in silence must not leave us deaf for ever.
    const fresh = new pg.Client({
      ...connection,
      application_name: 'gw listen',
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
    })
    fresh.on('error', () => {}) // the end that follows says it
    try {
      await fresh.connect()
      await fresh.query(`listen ${channel}`)
    } catch (error) {
      await fresh.end().catch(() => {})
      throw error
    }
    if (closed) return fresh.end()
    client = fresh
    fresh.on('notification', ({ payload = '' }) => heard(payload))
    fresh.once('end', () => {
      if (closed) return
      log('warn', 'lost the connection that hears changes; reconnecting')
      retry(250)
    })
  }

  function retry(ms: number): void {
    timer = setTimeout(() => {
      connecting = connect().then(
        () => {
          if (closed) return
          log('info', 'hearing changes again')
          heard('')
        },
        () => {
          if (!closed) retry(Math.min(ms * 2, 5_000))
        },
      )
    }, ms)
  }

  await connect()
  return {
    async close() {
      closed = true
      clearTimeout(timer)
      await connecting
      await client?.end().catch(() => {})
    },
  }
}

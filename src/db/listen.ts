// Hears what other processes change: LISTEN on a connection of its own that comes back when it is lost.
import pg from 'pg'

/** Channels that the triggers of migrations/ notify: the nouns of the snapshot, and the health of accounts. */
export const CHANGED = 'gw_changed'
export const HEALTH = 'gw_health'

export interface Listening {
  close(): Promise<void>
}

/**
 * Calls `heard` for every notification, and once after every (re)connection, since what happened in between was missed.
 * Resolves when the first connection listens. @throws when that fails
 */
export async function listen(
  connection: pg.ClientConfig,
  channel: string,
  heard: () => void,
  log: (level: 'info' | 'warn', line: string) => void,
): Promise<Listening> {
  let client: pg.Client | undefined
  let closed = false
  let timer: NodeJS.Timeout | undefined

  async function connect(): Promise<void> {
    // TCP keep-alive: a connection that died in silence must not leave us deaf for ever.
    const fresh = new pg.Client({
      ...connection,
      application_name: 'gw listen',
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
    })
    let lost = false
    const onLost = (error?: Error) => {
      if (lost || closed) return
      lost = true
      log('warn', `lost the connection that hears changes (${error?.message ?? 'ended'}); reconnecting`)
      retry(250)
    }
    fresh.on('error', onLost)
    await fresh.connect()
    await fresh.query(`listen ${channel}`)
    fresh.on('end', () => onLost())
    fresh.on('notification', heard)
    client = fresh
  }

  function retry(ms: number): void {
    timer = setTimeout(() => {
      connect().then(
        () => {
          log('info', 'hearing changes again')
          heard()
        },
        () => retry(Math.min(ms * 2, 5_000)),
      )
    }, ms)
  }

  await connect()
  return {
    async close() {
      closed = true
      clearTimeout(timer)
      await client?.end().catch(() => {})
    },
  }
}

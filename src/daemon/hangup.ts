// SIGHUP, which is what a reload is called among signals; also what a terminal says that is closed.
import type { Logger } from 'pino'

export interface Hangups extends Disposable {
  /** From here on each is a reload; one that came before is made up for. `reload` tells the log how it went. */
  begin(reload: () => Promise<unknown>): void
}

/**
 * From here on SIGHUP ends nothing any more, though by default it would cut every stream in the middle and leave Postgres running,
 * which has a session of its own that no terminal reaches. Dispose of it last.
 */
export function followHangups(log: Pick<Logger, 'info'>): Hangups {
  let early = false
  let work = (): void => {
    early = true
    log.info('SIGHUP: heard, the configuration is read again when gw is up')
  }
  const listener = () => work()
  process.on('SIGHUP', listener)
  return {
    begin(reload) {
      work = () => void reload().catch(() => {})
      if (early) work()
    },
    [Symbol.dispose]: () => void process.off('SIGHUP', listener),
  }
}

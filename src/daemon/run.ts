// Running until a signal: what signals mean, what systemd is told, and what a first start is told to do next.
import { execFile } from 'node:child_process'
import type { Logger } from 'pino'
import type { Worker } from './node.ts'

/** Waits for a signal, calls `first`, then drains; a second signal ends now. */
export async function untilStopped(daemon: Worker, log: Logger, first: () => void = () => {}): Promise<void> {
  const signals = untilSignal(() => {
    log.warn('second signal: ending now')
    void daemon.stop(0)
  })
  const signal = await signals.signalled
  first()
  const under = daemon.gateway.live.size
  log.info(`${signal}: draining, ${under} request${under === 1 ? '' : 's'} under way; again to end now`)
  notify('STOPPING=1', 'STATUS=draining')
  await daemon.stop()
  signals.dispose()
  log.info('stopped')
}

/** Resolves with the first SIGTERM or SIGINT; `again` is called at the second, which means now. */
function untilSignal(again: () => void): { signalled: Promise<NodeJS.Signals>; dispose(): void } {
  let first: ((signal: NodeJS.Signals) => void) | undefined
  const signalled = new Promise<NodeJS.Signals>(resolve => {
    first = resolve
  })
  const listener = (signal: NodeJS.Signals) => {
    if (!first) return again()
    first(signal)
    first = undefined
  }
  process.on('SIGTERM', listener)
  process.on('SIGINT', listener)
  return {
    signalled,
    dispose() {
      process.off('SIGTERM', listener)
      process.off('SIGINT', listener)
    },
  }
}

/**
 * Tells the service manager (sd_notify(3)). Node has no unix datagram sockets, so systemd's own tool does it;
 * the unit needs NotifyAccess=all for that. Nothing happens outside systemd.
 */
export function notify(...states: string[]): void {
  if (!process.env['NOTIFY_SOCKET']) return
  execFile('systemd-notify', ['--no-block', `--pid=${process.pid}`, ...states], () => {})
}

/** What whoever starts gw for the first time reads; `gw` is how they called it. */
export function firstSteps(url: string, gw: string): string {
  return `
Nothing is set up yet. Three commands lead to the first request:

  ${gw} group add main --platform anthropic
  ${gw} account add first --platform anthropic --group main --api-key-file FILE
  ${gw} user add me --balance 10 && ${gw} key create --user me --group main

Then point a client at ${url} with that key; ${gw} try sends a first request. Ctrl-C ends it; in the background kill does.

`
}

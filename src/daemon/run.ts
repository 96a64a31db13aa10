// Running until a signal: what signals mean, what systemd is told, and what a first start is told to do next.
import { execFile } from 'node:child_process'
import type { Logger } from 'pino'
import { URGENT_MS } from './closing.ts'
import type { Worker } from './node.ts'
import type { Signals } from './signals.ts'

/** Waits for a signal, calls `first`, then drains; a second signal ends now. */
export async function untilStopped(
  daemon: Worker,
  log: Logger,
  signals: Signals,
  first: () => void = () => {},
): Promise<void> {
  void signals.second.then(() => {
    log.warn('second signal: ending now')
    void daemon.stop(0, URGENT_MS)
  })
  const signal = await signals.first
  first()
  const under = daemon.gateway.live.size
  log.info(`${signal}: draining, ${under} request${under === 1 ? '' : 's'} under way; again to end now`)
  notify('STOPPING=1', 'STATUS=draining')
  await daemon.stop()
  log.info('stopped')
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

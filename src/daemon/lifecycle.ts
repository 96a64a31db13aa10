// The daemon's life: starting → ready → draining → stopped; what signals mean, and what systemd is told.
import { execFile } from 'node:child_process'

export type Phase = 'starting' | 'ready' | 'draining' | 'stopped'

/** Resolves with the first SIGTERM or SIGINT; `again` is called at the second, which means now. */
export function untilSignal(again: () => void): { signalled: Promise<NodeJS.Signals>; dispose(): void } {
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

/** The listening socket that systemd passed to us, if any (sd_listen_fds(3)). */
export function activatedFd(env: NodeJS.ProcessEnv = process.env): number | undefined {
  return env['LISTEN_PID'] === String(process.pid) && Number(env['LISTEN_FDS']) >= 1 ? 3 : undefined
}

// SIGTERM and SIGINT of a daemon: the first ends it in order, also while it is starting, and the second at once.
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { URGENT_MS } from './closing.ts'
import type { Worker } from './node.ts'

export interface Signals extends Disposable {
  /** which one came first */
  readonly first: Promise<NodeJS.Signals>
  /** and that another one did */
  readonly second: Promise<void>
  /** it has come */
  readonly urgent: boolean
  /** As if SIGTERM had come, unless one has; `now`: and a second one. */
  raise(now: boolean): void
}

/** From here on nothing else ends the process: call it before anything is begun that must be given back. */
export function takeSignals(): Signals {
  const first = Promise.withResolvers<NodeJS.Signals>()
  const second = Promise.withResolvers<void>()
  let heard = 0
  const listener = (signal: NodeJS.Signals) => {
    if (heard++ === 0) first.resolve(signal)
    else second.resolve()
  }
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, listener)
  return {
    first: first.promise,
    second: second.promise,
    get urgent() {
      return heard > 1
    },
    raise(now) {
      // Whoever asks for an end once more, or after a signal, need not want it sooner.
      if (heard === 0) listener('SIGTERM')
      if (now && heard === 1) listener('SIGTERM')
    },
    [Symbol.dispose]() {
      for (const name of ['SIGTERM', 'SIGINT'] as const) process.off(name, listener)
    },
  }
}

/** How long a start goes on at the first signal, and then how long giving up what it has may take. */
const UP_MS = 3_000
const GIVE_UP_MS = 3_000

/**
 * Starts a daemon. Where a signal comes before it is up, it ends as soon as it is; where that takes long, `giveUp` is aborted:
 * `start` gives back what it has and rejects.
 * @returns the exit code instead, as shells count it, when a signal came
 */
export async function startUnlessStopped<W extends Pick<Worker, 'stop'>>(
  signals: Signals,
  log: Logger,
  start: (giveUp: AbortSignal) => Promise<W>,
): Promise<W | number> {
  const giveUp = new AbortController()
  const starting = start(giveUp.signal)
  const came = await Promise.race([starting, signals.first])
  if (typeof came !== 'string') return came
  log.info(`${came}: gw is still starting, and ends as soon as it can; again to end now`)
  const settled = starting.catch(() => undefined)
  const up = await Promise.race([settled, signals.second, sleep(UP_MS, undefined, { ref: false })])
  if (up) await Promise.race([up.stop(0), signals.second.then(() => up.stop(0, URGENT_MS))])
  else {
    giveUp.abort()
    await Promise.race([settled, signals.second.then(() => sleep(URGENT_MS)), sleep(GIVE_UP_MS)])
  }
  return 128 + constants.signals[came]
}

/**
 * Ends this process. Node's own way waits for the threads of libuv, and one that stands in a system call (a disk, a name server)
 * would hold it for ever: then it ends as SIGTERM ends one that does not listen.
 */
export async function endProcess(code: number): Promise<never> {
  for (let i = 0; i < 10 && isHeld(); i++) await sleep(10)
  if (isHeld()) {
    process.removeAllListeners('SIGTERM')
    process.kill(process.pid, 'SIGTERM')
  }
  process.exit(code)
}

const isHeld = () => process.getActiveResourcesInfo().some(name => /^(FSReq|GetAddrInfo|GetNameInfo)/.test(name))

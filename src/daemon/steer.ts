// What an operator tells a running daemon on its control socket: to let nobody new in, and to end.
import type { DrainAsked, Drained, StopAsked, Stopping } from '../control/view.ts'
import type { Gateway } from '../gateway/gateway.ts'
import { Refusal } from '../lib/refusal.ts'
import type { Live } from './live.ts'

export interface Steer {
  /** @throws Refusal `conflict` when it ends anyway */
  drain(asked: DrainAsked): Drained
  /** @throws Refusal `refused` where nobody is there who could end it */
  stop(asked: StopAsked): Stopping
}

export function steer(options: {
  gateway: Gateway
  live: Live
  /** ends the process: in order, or now */
  stop: ((now: boolean) => void) | undefined
  /** how long requests under way have, ms, from now on */
  drainMs: () => number
  /** how long giving everything back may take, ms, in order and now */
  endMs: number
  urgentMs: number
}): Steer {
  const { gateway: gw, live, stop, drainMs, endMs, urgentMs } = options
  return {
    drain({ undo = false }) {
      if (gw.draining) throw new Refusal('conflict', 'gw is stopping: that is a drain that cannot be undone')
      if (gw.drained === undo)
        gw.log.info(undo ? 'gw drain --undo: new requests are let in again' : 'gw drain: no new request is let in')
      gw.drained = !undo
      return { drained: gw.drained, in_flight: live.inFlight() }
    },
    stop({ now = false }) {
      if (!stop) throw new Refusal('refused', 'this gw is part of another process, which ends it')
      gw.log.info(now ? 'gw stop --now' : 'gw stop')
      // After the answer: it is the last that some of them hear.
      setImmediate(() => stop(now))
      return {
        pid: process.pid,
        in_flight: live.inFlight(),
        drain_ms: now ? 0 : Math.round(drainMs()),
        end_ms: now ? urgentMs : endMs,
      }
    },
  }
}

// The wall clock when it is set back: who keeps instants of it hears by how much, so that no wait becomes longer than it was decided to be.

// A clock that is slewed goes wrong by less in the time between two looks.
const TOLERANCE_MS = 20
const LOOK_EVERY_MS = 500

export interface ClockOptions {
  /** Unix ms; default Date.now */
  wall?: (() => number) | undefined
  /** ms of a clock that nobody sets; default performance.now */
  steady?: () => number
  /** told how far the wall clock was set back, ms */
  back: (byMs: number) => void
}

/**
 * Looks twice a second. Set forward, a clock only makes waits shorter, and that is what a machine that slept looks like, too:
 * of that nobody hears.
 */
export function watchClock({ wall = Date.now, steady = () => performance.now(), back }: ClockOptions) {
  let ahead = wall() - steady()
  const look = () => {
    const now = wall() - steady()
    const by = ahead - now
    ahead = now
    if (by > TOLERANCE_MS) back(by)
  }
  const timer = setInterval(look, LOOK_EVERY_MS).unref()
  return { look, close: () => clearInterval(timer) }
}

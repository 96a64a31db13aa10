// The days, weeks and months of a subscription's limits: when the ones that run began, and when they end.
export const windowNames = ['day', 'week', 'month'] as const
export type WindowName = (typeof windowNames)[number]

/**
 * How many days a window takes. They are days of the calendar, not of 24 h: one of 23 or 25 h would lose or double a day
 * for whoever counts hours from midnight.
 */
export const windowDays: Readonly<Record<WindowName, number>> = { day: 1, week: 7, month: 30 }

/** All in Unix ms. */
export interface Windows {
  /** the local midnight that began today: where a window starts that starts now */
  readonly start: number
  /** a window that started here or later still runs; one that started earlier is over */
  readonly oldest: Readonly<Record<WindowName, number>>
}

/** The windows of the instant `at`, Unix ms. Two comparisons for all but the first call of a day. */
export function windowsAt(at: number, timezone: string): Windows {
  const zone = zoneOf(timezone)
  let today = zone.today
  if (today === undefined || at < today.start || at >= today.end) zone.today = today = zone.day(at)
  return today
}

/** Whether a window that began then (undefined: never) still runs. */
export function runs(start: number | undefined, window: WindowName, { oldest }: Windows): start is number {
  return start !== undefined && start >= oldest[window]
}

/** When a window that began at the local midnight `start` is over, Unix ms. */
export function resetsAt(start: number, window: WindowName, timezone: string): number {
  const zone = zoneOf(timezone)
  return zone.begins(zone.dayNumber(start) + windowDays[window])
}

const DAY = 86_400_000
// Days whose beginning is remembered, of each zone.
const REMEMBERED = 1000

interface Day extends Windows {
  readonly end: number
}

interface Zone {
  today?: Day
  day(at: number): Day
  /** the first instant of a day, which is counted from 1970-01-01 */
  begins(day: number): number
  dayNumber(at: number): number
}

const zones = new Map<string, Zone>()

function zoneOf(timezone: string): Zone {
  let zone = zones.get(timezone)
  if (zone === undefined) zones.set(timezone, (zone = openZone(timezone)))
  return zone
}

function openZone(timezone: string): Zone {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: timezone,
    calendar: 'gregory',
    numberingSystem: 'latn',
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  })
  const known = new Map<number, number>()

  /** What the clock on the wall shows, as if it were UTC. */
  function wall(at: number): number {
    // 12/30/2011, 23:59:59
    const [month, day, year, hour, minute, second] = format.format(at).match(/\d+/g)!.map(Number)
    return Date.UTC(year!, month! - 1, day!, hour!, minute!, second!) + (((at % 1000) + 1000) % 1000)
  }

  function firstInstant(midnight: number): number {
    // No clock is more than 16 h off, and none is changed twice in so few days.
    const [before, after] = [midnight - DAY, midnight + DAY].map(near => midnight - (wall(near) - near)) as [
      number,
      number,
    ]
    const [early, late] = before < after ? [before, after] : [after, before]
    // Clocks put back over midnight show it twice; the day begins with the first.
    if (wall(early) === midnight) return early
    if (wall(late) === midnight) return late
    // Clocks put forward over it never show it; the day begins where they jump.
    let [low, high] = [early - 1, late]
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      if (wall(middle) < midnight) low = middle
      else high = middle
    }
    return high
  }

  function begins(day: number): number {
    let start = known.get(day)
    if (start === undefined) {
      if (known.size >= REMEMBERED) known.clear()
      known.set(day, (start = firstInstant(day * DAY)))
    }
    return start
  }

  function dayNumber(at: number): number {
    const shown = Math.floor(wall(at) / DAY)
    // Clocks put back from just after midnight show yesterday again, but today has begun.
    return begins(shown + 1) <= at ? shown + 1 : shown
  }

  function day(at: number): Day {
    const number = dayNumber(at)
    const back = (window: WindowName) => begins(number + 1 - windowDays[window])
    return {
      start: begins(number),
      end: begins(number + 1),
      oldest: { day: back('day'), week: back('week'), month: back('month') },
    }
  }

  return { day, begins, dayNumber }
}

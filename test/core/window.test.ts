// Where days, weeks and months of a subscription begin and end, in any time zone.
import t from 'tap'
import { resetsAt, type WindowName, windowDays, windowsAt } from '../../src/core/books/window.ts'
import { isTimezone } from '../../src/lib/timezone.ts'

const iso = (at: number) => new Date(at).toISOString()
const random = (below: number) => Math.floor(Math.random() * below)

t.test('windows begin at local midnight, counted in days of the calendar', async t => {
  const cases: [zone: string, at: string, today: string, week: string, month: string, tomorrow: string, why: string][] =
    [
      [
        'UTC',
        '2026-03-01T00:00:00.000Z',
        '2026-03-01T00:00',
        '2026-02-23T00:00',
        '2026-01-31T00:00',
        '2026-03-02T00:00',
        'midnight itself',
      ],
      [
        'UTC',
        '2026-02-28T23:59:59.999Z',
        '2026-02-28T00:00',
        '2026-02-22T00:00',
        '2026-01-30T00:00',
        '2026-03-01T00:00',
        'the last millisecond',
      ],
      [
        'UTC',
        '1969-12-31T12:00:00Z',
        '1969-12-31T00:00',
        '1969-12-25T00:00',
        '1969-12-02T00:00',
        '1970-01-01T00:00',
        'before the epoch',
      ],
      [
        'Asia/Kathmandu',
        '2026-01-01T00:00:00Z',
        '2025-12-31T18:15',
        '2025-12-25T18:15',
        '2025-12-02T18:15',
        '2026-01-01T18:15',
        'quarters of an hour',
      ],
      [
        'Europe/Berlin',
        '2026-03-29T12:00:00Z',
        '2026-03-28T23:00',
        '2026-03-22T23:00',
        '2026-02-27T23:00',
        '2026-03-29T22:00',
        'a day of 23 h',
      ],
      [
        'Europe/Berlin',
        '2026-10-25T22:30:00Z',
        '2026-10-24T22:00',
        '2026-10-18T22:00',
        '2026-09-25T22:00',
        '2026-10-25T23:00',
        'a day of 25 h',
      ],
      [
        'America/Havana',
        '2026-03-08T12:00:00Z',
        '2026-03-08T05:00',
        '2026-03-02T05:00',
        '2026-02-07T05:00',
        '2026-03-09T04:00',
        'no midnight: the day begins at one',
      ],
      [
        'America/Havana',
        '2026-11-01T05:30:00Z',
        '2026-11-01T04:00',
        '2026-10-26T04:00',
        '2026-10-03T04:00',
        '2026-11-02T05:00',
        'midnight twice: the first counts',
      ],
      [
        'America/St_Johns',
        '2006-10-29T02:45:00Z',
        '2006-10-29T02:30',
        '2006-10-23T02:30',
        '2006-09-30T02:30',
        '2006-10-30T03:30',
        'put back at 00:01: yesterday does not begin again',
      ],
      [
        'Pacific/Apia',
        '2011-12-31T09:00:00Z',
        '2011-12-30T10:00',
        '2011-12-25T10:00',
        '2011-12-02T10:00',
        '2011-12-31T10:00',
        'a day that never was, in the week before',
      ],
    ]
  for (const [zone, at, today, week, month, tomorrow, why] of cases) {
    const { start, oldest } = windowsAt(Date.parse(at), zone)
    const found = [start, oldest.day, oldest.week, oldest.month, resetsAt(start, 'day', zone)]
    t.same(
      found.map(iso),
      [today, today, week, month, tomorrow].map(text => `${text}:00.000Z`),
      `${zone} ${at}: ${why}`,
    )
  }
  t.equal(
    iso(resetsAt(Date.parse('2011-12-29T10:00Z'), 'day', 'Pacific/Apia')),
    '2011-12-30T10:00:00.000Z',
    '29 December ends where the 31st begins',
  )
})

t.test('a window runs until the instant at which it resets', async t => {
  const zones = ['UTC', 'Europe/Berlin', 'America/Havana', 'Asia/Kathmandu', 'Pacific/Apia', 'Africa/Casablanca']
  for (let i = 0; i < 300; i++) {
    const zone = zones[i % zones.length]!
    const { start } = windowsAt(Date.UTC(1995, 0, 1) + random(40 * 365 * 86_400_000), zone)
    for (const window of Object.keys(windowDays) as WindowName[]) {
      const end = resetsAt(start, window, zone)
      const [last, next] = [windowsAt(end - 1, zone).oldest[window], windowsAt(end, zone).oldest[window]]
      if (!(start >= last && start < next)) t.fail(`${zone} ${window} from ${iso(start)} to ${iso(end)}`)
    }
  }
})

t.test('windows that follow each other leave no gap and do not overlap', async t => {
  const zones = Intl.supportedValuesOf('timeZone')
  for (let i = 0; i < 60; i++) {
    const zone = zones[random(zones.length)]!
    let { start } = windowsAt(Date.UTC(1971, 0, 1) + random(60 * 365 * 86_400_000), zone)
    for (let days = 0; days < 60; days++) {
      const end = resetsAt(start, 'day', zone)
      const inside = windowsAt(start + random(end - start), zone).start
      const tiled = windowsAt(end - 1, zone).start === start && windowsAt(end, zone).start === end && inside === start
      if (!tiled || end - start < 3_600_000 || end - start > 49 * 3_600_000) {
        t.fail(`${zone} ${iso(start)} to ${iso(end)}`)
        break
      }
      start = end
    }
  }
})

t.test('time zones are names that Intl knows', async t => {
  for (const name of ['UTC', 'Europe/Berlin', 'Asia/Kathmandu', 'America/Argentina/Buenos_Aires'])
    t.ok(isTimezone(name), name)
  for (const name of ['', 'Mars', '+02:00', 'Europe/Berln', ' UTC', '../etc']) t.notOk(isTimezone(name), name)
})

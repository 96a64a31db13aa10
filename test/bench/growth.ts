// Cases of growth: what 5 000 accounts and 50 000 keys cost a request, and how long one change stops all others.
import { json } from './answers.ts'
import { pace, target } from './compare.ts'
import { LARGE, type Lab } from './lab.ts'
import { median } from './median.ts'
import { probe } from './probe.ts'
import { requests } from './requests.ts'
import { sandwich } from './sandwich.ts'
import type { Site } from './site.ts'
import { digits, mb, type Row, type Table, times } from './table.ts'

const table: Table = 'Growth'
const size = `${LARGE.accounts} accounts, ${LARGE.keys} keys`

/** The small and the large site of a checkout in the same sandwich, round by round. */
export async function grown(lab: Lab): Promise<Row[]> {
  const cells: Record<string, string>[] = [{}, {}, {}, {}]
  for (const [i, large] of lab.large.entries()) {
    const small = lab.small[i]!
    await small.up()
    await large.up()
    const both = [small, large].map(site => target(site, 'json'))
    const shape = { connections: 16, expected: json }
    const [, few, many] = await sandwich(target(lab.bare, 'json'), both, shape, pace(lab, 30_000))
    const ratio = median(many!.cpuRatios.map((ratio, round) => ratio / few!.cpuRatios[round]!))
    const to = (i: number, text: string) => (cells[i]![large.name] = text)
    to(0, `**${times(ratio)}**`)
    to(1, `${digits(many!.cpuUs)}, ${digits(few!.cpuUs)}`)
    to(2, `${digits(many!.postgresUs)}, ${digits(few!.postgresUs)}`)
    to(3, mb(many!.peakBytes))
    await large.down()
  }
  return [
    { table, what: `**${size} against 10 and 10**: CPU a request, JSON 1 KB, c 16`, cells: cells[0]! },
    { table, what: 'CPU µs of both', cells: cells[1]! },
    { table, what: 'its Postgres, CPU µs of both', cells: cells[2]! },
    { table, what: 'RSS under load', cells: cells[3]! },
  ]
}

const QUIET_MS = 2_000
const AFTER_MS = 1_500

/** A slow steady client beside `gw key create`. */
export async function changed(lab: Lab): Promise<Row[]> {
  const [during, before, cpu]: Record<string, string>[] = [{}, {}, {}]
  for (const site of lab.large) {
    await site.up()
    const results: Awaited<ReturnType<typeof change>>[] = []
    for (let round = 0; round <= lab.options.rounds; round++) results.push(await change(site, round))
    results.shift() // nothing was compiled yet
    const middle = (name: 'during' | 'before' | 'cpuMs') => median(results.map(result => result[name]))
    during![site.name] =
      `**${digits(middle('during'))}** (worst ${digits(Math.max(...results.map(({ during }) => during)))})`
    before![site.name] = digits(middle('before'))
    cpu![site.name] = digits(middle('cpuMs'))
    await site.down()
  }
  return [
    { table, what: `**one \`gw key create\` at ${size}**: longest answer meanwhile, ms`, cells: during! },
    { table, what: 'longest answer in two seconds before, ms', cells: before! },
    { table, what: "CPU of the gateway's process for the change, ms", cells: cpu! },
  ]
}

async function change(site: Site, round: number) {
  const asking = probe(site.port, requests('json', 'gw', site.keys), json)
  try {
    await asking.longest(QUIET_MS / 2) // its connections and first answers
    const from = site.used().cpuUs
    const before = await asking.longest(QUIET_MS)
    const perMs = (site.used().cpuUs - from) / QUIET_MS
    const since = performance.now()
    const used = site.used().cpuUs
    const command = site.gw(`key create --user user0 --group main --name new${round}`)
    const during = await asking.longest(command.then(() => new Promise(resolve => setTimeout(resolve, AFTER_MS))))
    const cpuMs = (site.used().cpuUs - used - perMs * (performance.now() - since)) / 1_000
    return { before, during, cpuMs }
  } finally {
    await asking.stop()
  }
}

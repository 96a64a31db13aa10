// The sandwich: bare, gateway, bare, gateway … in one run, each warmed first; what counts are ratios to the bare slices beside.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Load, type Loaded, load } from './load.ts'
import { median } from './median.ts'
import type { Use } from './proc.ts'
import { meanScavengeMs, sizeOf } from './scavenges.ts'

export interface Target {
  name: string
  port: number
  /** its log, for garbage collections */
  log: string
  /** the requests it is sent */
  requests: readonly Buffer[]
  /** what it answers, where that is not what all do */
  expected?: Buffer | number
  used(): Use
}

export interface Pace {
  rounds: number
  sliceMs: number
  /** answers before a target counts as warm, however steady it is */
  warmAnswers: number
  /** but no longer than this */
  warmMs: number
}

/** Means over a slice. */
export interface Slice extends Loaded {
  /** of the gateway's process, a request */
  cpuUs: number
  /** of its Postgres, a request */
  postgresUs: number
  /** share of its core that it and its Postgres had while loaded */
  busy: number
  peakBytes: number
  /** mean of its young collections; 0 when there was none */
  scavengeMs: number
}

/** Medians of the slices; `ratio` are medians of what each slice was to the bare ones beside it. */
export interface Layer extends Slice {
  name: string
  ratio: { cpu: number; postgres: number; perSecond: number }
  /** CPU to bare of each round */
  cpuRatios: number[]
  steady: boolean
}

type Shape = Pick<Load, 'connections' | 'expected'>

/** Targets of one name are processes of one gateway: what they used is told together. */
export async function sandwich(bare: Target, targets: readonly Target[], shape: Shape, pace: Pace): Promise<Layer[]> {
  const unsteady = new Set<string>()
  for (const target of [bare, ...targets]) if (!(await warm(target, shape, pace))) unsteady.add(target.name)
  const breads: Slice[] = [await slice(bare, shape, pace.sliceMs)]
  const fillings = new Map<string, { slice: Slice; bread: number }[]>(targets.map(({ name }) => [name, []]))
  for (let round = 0; round < pace.rounds; round++)
    // What the one before leaves behind, in the machine's caches and in Postgres, each finds as often as the others.
    for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
      fillings.get(target.name)!.push({ slice: await slice(target, shape, pace.sliceMs), bread: breads.length - 1 })
      breads.push(await slice(bare, shape, pace.sliceMs))
    }
  const one = { cpu: 1, postgres: 0, perSecond: 1 }
  const whole = (name: string) => ({ name, steady: !unsteady.has(name) })
  return [
    { ...whole(bare.name), ...middle(breads), ratio: one, cpuRatios: [] },
    ...[...fillings].map(([name, slices]) => {
      const to = (of: keyof Slice, ofBare: keyof Slice) =>
        slices.map(({ slice, bread }) => (2 * slice[of]) / (breads[bread]![ofBare] + breads[bread + 1]![ofBare]))
      const cpuRatios = to('cpuUs', 'cpuUs')
      const [postgres, perSecond] = [median(to('postgresUs', 'cpuUs')), median(to('perSecond', 'perSecond'))]
      return {
        ...whole(name),
        ...middle(slices.map(({ slice }) => slice)),
        ratio: { cpu: median(cpuRatios), postgres, perSecond },
        cpuRatios,
      }
    }),
  ]
}

const middle = (slices: readonly Slice[]): Slice => {
  const of = (name: keyof Slice) => median(slices.map(s => s[name]))
  return {
    answers: of('answers'),
    perSecond: of('perSecond'),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    cpuUs: of('cpuUs'),
    postgresUs: of('postgresUs'),
    busy: of('busy'),
    peakBytes: of('peakBytes'),
    scavengeMs: of('scavengeMs'),
  }
}

const STEADY = 0.05

/** Loads a target until it had `warmAnswers` and two slices agree within 5 %. False when time is up before that. */
async function warm(target: Target, shape: Shape, { warmAnswers, warmMs, sliceMs }: Pace): Promise<boolean> {
  const until = performance.now() + warmMs
  let answers = 0
  let last = 0
  while (performance.now() < until) {
    const now = await slice(target, shape, Math.min(sliceMs, until - performance.now()))
    answers += now.answers
    if (answers >= warmAnswers && Math.abs(now.cpuUs / last - 1) < STEADY) return true
    last = now.cpuUs
  }
  return false
}

export async function slice(target: Target, shape: Shape, ms: number): Promise<Slice> {
  const before = target.used()
  const from = sizeOf(target.log)
  let peakBytes = 0
  const watch = setInterval(() => (peakBytes = Math.max(peakBytes, target.used().rssBytes)), 500)
  try {
    const loaded = await load({
      host: '127.0.0.1',
      ms,
      ...target,
      ...shape,
      expected: target.expected ?? shape.expected,
    })
    const loadedS = loaded.answers / loaded.perSecond
    const then = target.used()
    const after = await quiet(target)
    return {
      ...loaded,
      cpuUs: (after.cpuUs - before.cpuUs) / loaded.answers,
      postgresUs: (after.postgresUs - before.postgresUs) / loaded.answers,
      busy: (then.cpuUs + then.postgresUs - before.cpuUs - before.postgresUs) / 1e6 / loadedS,
      peakBytes: Math.max(peakBytes, after.rssBytes),
      scavengeMs: meanScavengeMs(target.log, from),
    }
  } finally {
    clearInterval(watch)
  }
}

const LOOK_MS = 150
const LINGERS_MS = 3_000

/** Waits until what the requests left to be done, such as booking, is done: it belongs to them. */
async function quiet(target: Target): Promise<Use> {
  let last = target.used()
  for (let waited = 0; waited < LINGERS_MS; waited += LOOK_MS) {
    await sleep(LOOK_MS)
    const now = target.used()
    if (now.cpuUs + now.postgresUs - last.cpuUs - last.postgresUs <= 10_000) return now
    last = now
  }
  return last
}

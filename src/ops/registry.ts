// The registry: what was counted is handed to prom-client at a scrape. Format, content types and metrics of the process are the library's.
//
// It is loaded with the first scrape: who has no Prometheus pays nothing for it. It could not count for us: it hashes labels
// at each observation, and takes a histogram one observation after the other. So a metric here is an object of ours with the
// one method that its registry asks, `get`.
import { setImmediate } from 'node:timers/promises'
import type { Metric, Registry } from 'prom-client'
import type { Family } from './series.ts'

export interface Scrape {
  contentType: string
  body: string
}

/** Of the library's own metrics: gauges that are named as counters, which `promtool check metrics` refuses, and what we have by another name. */
const unwanted = [
  'gw_nodejs_active_handles_total',
  'gw_nodejs_active_requests_total',
  'gw_nodejs_active_resources_total',
  'gw_process_resident_memory_bytes',
]

/**
 * Says what families hold at this moment, in the format that `accept` asks for. Scrapes that come at once are one.
 * With each family streams have a turn, so that a scrape stalls nobody for longer than one family takes.
 */
export function scraper(families: readonly Family[]): (accept: string | undefined) => Promise<Scrape> {
  let loaded: Promise<Formats> | undefined
  const under = new Map<keyof Formats, Promise<Scrape>>()
  return async accept => {
    const { text, openMetrics } = await (loaded ??= load(families))
    const format = wantsOpenMetrics(accept) ? 'openMetrics' : 'text'
    const registry = format === 'text' ? text : openMetrics
    const body = under.get(format) ?? registry.metrics().then(body => ({ contentType: registry.contentType, body }))
    under.set(format, body)
    return await body.finally(() => under.delete(format))
  }
}

interface Formats {
  text: Registry
  openMetrics: Registry
}

async function load(families: readonly Family[]): Promise<Formats> {
  const { default: client } = await import('prom-client')
  const { Registry, collectDefaultMetrics } = client
  const process = new Registry()
  collectDefaultMetrics({ register: process, prefix: 'gw_', eventLoopMonitoringPrecision: 20 })
  for (const name of unwanted) process.removeSingleMetric(name)
  const formats = [Registry.PROMETHEUS_CONTENT_TYPE, Registry.OPENMETRICS_CONTENT_TYPE].map(type => {
    const registry = new (Registry as new (type: string) => Registry)(type)
    let turn: Promise<unknown> = Promise.resolve()
    const inTurn = () => (turn = turn.then(() => setImmediate()))
    for (const family of families) registry.registerMetric(metricOf(family, inTurn))
    for (const metric of process.getMetricsAsArray()) registry.registerMetric(twinOf(metric as unknown as Printable))
    return registry
  })
  return { text: formats[0]!, openMetrics: formats[1]! }
}

/** What a registry of prom-client asks of a metric. It may change the name, so each registry has objects of its own. */
interface Printable {
  name: string
  type: string
  help: string
  get(): Promise<object>
}

const registered = (metric: Printable) => metric as unknown as Metric

function metricOf(family: Family, turn: () => Promise<unknown>): Metric {
  const { name, help, type } = family
  return registered({
    name,
    help,
    type,
    async get() {
      await turn()
      return { name: this.name, help, type, values: await family.samples(), aggregator: 'sum' }
    },
  })
}

function twinOf(metric: Printable): Metric {
  const { name, help, type } = metric
  return registered({
    name,
    help,
    type,
    async get() {
      return { ...(await metric.get()), name: this.name }
    },
  })
}

/** Whether OpenMetrics is liked at least as well as plain text; who says nothing gets text. */
function wantsOpenMetrics(accept = ''): boolean {
  const liked = (type: RegExp) =>
    Math.max(
      0,
      ...accept
        .toLowerCase()
        .split(',')
        .map(range => range.split(';').map(part => part.trim()))
        .filter(([name = '']) => type.test(name))
        .map(([, ...parameters]) => Number(parameters.find(p => p.startsWith('q='))?.slice(2) ?? 1)),
    )
  const open = liked(/^application\/openmetrics-text$/)
  return open > 0 && open >= liked(/^text\/(plain|\*)$/)
}

// The far side of OTLP: a receiver on a real socket that keeps what it is sent, in JSON.
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'

export interface Span {
  name: string
  kind: number
  traceId: string
  spanId: string
  parentSpanId?: string
  startTimeUnixNano: string
  endTimeUnixNano: string
  status: { code?: number }
  attributes: Record<string, unknown>
}

export interface Point {
  count: number
  sum: number
  attributes: Record<string, unknown>
}

export interface Collector {
  url: string
  /** all that came, as it came */
  raw: string[]
  /** answers with this from now on; default 200 */
  status: number
  /** requests that were answered otherwise */
  refused: number
  spans(): Span[]
  /** the last points of a metric */
  points(name: string): Point[]
  resource(): Record<string, unknown>
}

type Value = { stringValue?: string; intValue?: string | number; doubleValue?: number }
type Attributes = { key: string; value: Value }[]
interface Traces {
  resourceSpans: {
    resource: { attributes: Attributes }
    scopeSpans: { spans: (Omit<Span, 'attributes'> & { attributes: Attributes })[] }[]
  }[]
}
interface Metrics {
  resourceMetrics: {
    scopeMetrics: {
      metrics: { name: string; histogram?: { dataPoints: { count: string; sum: number; attributes: Attributes }[] } }[]
    }[]
  }[]
}

const plain = (attributes: Attributes) =>
  Object.fromEntries(
    attributes.map(({ key, value }) => [
      key,
      value.intValue !== undefined ? Number(value.intValue) : (value.stringValue ?? value.doubleValue),
    ]),
  )

export async function collector(t: Test): Promise<Collector> {
  const traces: Traces[] = []
  const metrics: Metrics[] = []
  const server = http.createServer(async (req, res) => {
    const body = await text(req)
    if (found.status === 200) {
      found.raw.push(body)
      if (req.url === '/v1/traces') traces.push(JSON.parse(body))
      else if (req.url === '/v1/metrics') metrics.push(JSON.parse(body))
    } else found.refused++
    res.writeHead(found.status, { 'content-type': 'application/json' }).end('{}')
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const found: Collector = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    raw: [],
    status: 200,
    refused: 0,
    spans: () =>
      traces
        .flatMap(({ resourceSpans }) => resourceSpans)
        .flatMap(({ scopeSpans }) => scopeSpans)
        .flatMap(({ spans }) => spans)
        .map(span => ({ ...span, attributes: plain(span.attributes) })),
    points: name =>
      (metrics.at(-1)?.resourceMetrics ?? [])
        .flatMap(({ scopeMetrics }) => scopeMetrics)
        .flatMap(scope => scope.metrics)
        .filter(metric => metric.name === name)
        .flatMap(({ histogram }) => histogram?.dataPoints ?? [])
        .map(({ count, sum, attributes }) => ({ count: Number(count), sum, attributes: plain(attributes) })),
    resource: () => plain(traces[0]?.resourceSpans[0]?.resource.attributes ?? []),
  }
  return found
}

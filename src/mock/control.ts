// The mock's own endpoints under /_mock/, for tests and people in other processes.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { collect } from './call.ts'
import type { Mock } from './mock.ts'

type Body = Record<string, unknown>
type Verb = (mock: Mock, body: Body, query: URLSearchParams) => unknown

const verbs: Record<string, Verb> = {
  'POST /_mock/script': (mock, { credential, steps }) => {
    if (typeof credential !== 'string') throw new TypeError('credential must be a string ("*" for every other one)')
    // Checked by the script itself, field by field.
    mock.script(credential, steps as Parameters<Mock['script']>[1])
  },
  'GET /_mock/stats': (mock, _, query) => mock.stats(query.get('credential') ?? undefined),
  'POST /_mock/release': (mock, { credential }) => {
    if (credential !== undefined && typeof credential !== 'string') throw new TypeError('credential must be a string')
    mock.release(credential)
  },
  'POST /_mock/record': (mock, { record }) => {
    if (typeof record !== 'boolean') throw new TypeError('record must be true or false')
    mock.record(record)
  },
  'POST /_mock/reset': mock => mock.reset(),
}

/** Answers a request under /_mock/: 200 with JSON, or 400 or 404 with `{error}` that says what is wrong. */
export function control(mock: Mock, req: IncomingMessage, res: ServerResponse): void {
  collect(req, body => answer(mock, req, res, body))
}

function answer(mock: Mock, req: IncomingMessage, res: ServerResponse, body: Buffer): void {
  const url = new URL(req.url ?? '/', 'http://mock')
  const verb = verbs[`${req.method} ${url.pathname}`]
  if (!verb) {
    const known = Object.keys(verbs).join(', ')
    send(res, 404, { error: `${req.method} ${url.pathname} is not known; known are ${known}` })
    return
  }
  try {
    send(res, 200, verb(mock, objectFrom(body), url.searchParams) ?? { ok: true })
  } catch (error) {
    send(res, 400, { error: (error as Error).message })
  }
}

function objectFrom(body: Buffer): Body {
  if (body.length === 0) return {}
  let json: unknown
  try {
    json = JSON.parse(body.toString())
  } catch (error) {
    throw new TypeError(`the body must be JSON: ${(error as Error).message}`)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new TypeError('the body must be an object')
  return json as Body
}

function send(res: ServerResponse, status: number, json: unknown): void {
  const body = Buffer.from(`${JSON.stringify(json)}\n`)
  res.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length })
  res.end(body)
}

// Presented: the credentials that a request brings, in every place where clients put them (spec/domain.md §2.2).
import type { IncomingMessage } from 'node:http'

/** Each value once. The raw headers are read, since node keeps only the first `authorization` of several. */
export function presented(req: IncomingMessage): readonly string[] {
  const values: string[] = []
  const raw = req.rawHeaders
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!
    // By length first: most headers are none of these, and every request has twenty.
    if (name.length !== 9 && name.length !== 13 && name.length !== 14) continue
    const place = name.toLowerCase()
    if (place === 'authorization' || place === 'x-api-key' || place === 'x-goog-api-key')
      take(values, raw[i + 1]!, place === 'authorization')
  }
  const mark = req.url?.indexOf('?') ?? -1
  if (mark !== -1) {
    const query = new URLSearchParams(req.url!.slice(mark + 1))
    for (const name of ['key', 'api_key']) for (const value of query.getAll(name)) take(values, value, false)
  }
  return values
}

const bearer = /^ *bearer +(.+)$/i

function take(values: string[], text: string, scheme: boolean): void {
  // A proxy may have joined two headers into one. No key has a comma in it.
  for (const part of text.includes(',') ? text.split(',') : [text]) {
    const value = (scheme ? bearer.exec(part)?.[1] : part)?.trim()
    if (value && !values.includes(value)) values.push(value)
  }
}

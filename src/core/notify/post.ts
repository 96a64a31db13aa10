// One POST to a channel, through the guard: what is sent, and what its answer means.
import { ask } from '../../egress/ask.ts'
import type { Guard } from '../../lib/guard/guard.ts'
import { readUrl } from '../../lib/guard/url.ts'
import { Untaken } from './untaken.ts'
import { oneLine } from './words.ts'

export interface Posted {
  url: string
  headers?: Record<string, string>
  body: string
  /** Of an answer with a good status: why it is none, in the receiver's own words; undefined when it is. */
  accepted(body: string): string | undefined
}

// spec/domain.md §12.9.5
const CONNECT_MS = 5_000
const TOTAL_MS = 10_000
const LARGEST = 16 * 1024

export interface PostOptions {
  guard: Guard
  leaving?: AbortSignal | undefined
  /** PEM certificates trusted instead of the usual ones */
  ca?: string | undefined
}

/** @throws Untaken, in words as long as the receiver's: they may quote the URL, and what signs */
export async function post(message: Posted, { guard, leaving, ca }: PostOptions): Promise<void> {
  const url = readUrl(message.url, guard.rules)
  if (typeof url === 'string') throw new Untaken(`the URL ${url}`, { definite: true })
  let answer: Awaited<ReturnType<typeof ask>>
  try {
    answer = await ask(
      {
        url,
        method: 'POST',
        headers: {
          'content-type': 'application/json; charset=utf-8',
          accept: 'application/json, text/plain, */*',
          'accept-encoding': 'identity',
          'user-agent': 'gw',
          ...message.headers,
        },
        body: message.body,
      },
      { through: null, guard, timeoutMs: TOTAL_MS, connectMs: CONNECT_MS, mostBytes: LARGEST, leaving, ca },
    )
  } catch (error) {
    throw Untaken.by(error)
  }
  const { status, headers, body } = answer
  if (status >= 300 && status < 400) throw new Untaken(`answered ${status}, a redirect, which is not followed`)
  const wait = Number(headers['retry-after'])
  const after = wait > 0 && wait <= 3600 ? { afterMs: wait * 1000 } : {}
  if (status < 200 || status > 299) throw new Untaken(`answered ${status}${quoted(body)}`, after)
  const refused = message.accepted(body)
  if (refused !== undefined) throw new Untaken(refused, after)
}

function quoted(body: string): string {
  const said = oneLine(body)
  return said === '' || said.startsWith('<') ? '' : `: ${said}`
}

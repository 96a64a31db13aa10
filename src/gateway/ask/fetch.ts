// Fetch: the bytes of media that a client named by URL, for an upstream that must be given them. What a client types is never trusted:
// public addresses by https alone, no redirects, no proxy, and nothing of an answer is told but its status and type.
import type { IncomingHttpHeaders } from 'node:http'
import { type AtUrl, type Fetched, keyOfUrl } from '../../dialect/middle/at-url.ts'
import { isOf, saidType, typeOf } from '../../dialect/middle/signs.ts'
import { askBytes } from '../../egress/ask.ts'
import { Failure } from '../../lib/failure.ts'
import { isGuards } from '../../lib/guard/guard.ts'
import { readUrl } from '../../lib/guard/url.ts'
import { codeOf, ownTrouble } from '../../lib/own-trouble.ts'
import { formatSize } from '../../lib/units.ts'
import { version } from '../../lib/version.ts'
import type { Downstream } from '../answer/downstream.ts'
import type { Call } from '../enter/receive.ts'
import type { Gateway } from '../gateway.ts'

/** By `keyOfUrl`. */
export type FetchedMedia = ReadonlyMap<string, Fetched>

/** URLs in one request. */
export const MOST_URLS = 32
const AT_A_TIME = 8
const NODE_AGAIN_MS = 2_000
const WITHIN_MS = 10_000

/**
 * Fetches each of them once; what cannot be had says why, and it is for whoever needs it to refuse.
 * @returns undefined when nothing may be fetched here
 * @throws the Failure that interrupted the request
 */
export async function fetchMedia(
  gw: Gateway,
  media: readonly AtUrl[],
  call: Call,
  down: Downstream,
): Promise<FetchedMedia | undefined> {
  if (!gw.config['translate.fetch_urls']) return undefined
  if (media.length > MOST_URLS) {
    const why = `the request names ${media.length} URLs, and at most ${MOST_URLS} are fetched for this account`
    return new Map(media.map(one => [keyOfUrl(one), { why }]))
  }
  down.check()
  const leaving = new AbortController()
  down.watcher = { interrupted: () => leaving.abort() }
  const round = new Round(gw, call.body.length, leaving.signal)
  const fetched = new Map<string, Fetched>()
  const queue = [...media]
  const work = async () => {
    for (let one = queue.shift(); one && !leaving.signal.aborted; one = queue.shift())
      fetched.set(keyOfUrl(one), await round.fetch(one, down.ticket.id))
  }
  try {
    await Promise.all(Array.from({ length: Math.min(AT_A_TIME, media.length) }, work))
  } finally {
    down.watcher = undefined
    // Whatever is still under way when one of them was our own trouble.
    leaving.abort()
  }
  down.check()
  return fetched
}

/** What ends a fetch, in words for the client. */
class Unfetched extends Error {}

/** What all that one request names shares: its time, and the bytes that there is room for. */
class Round {
  readonly #gw: Gateway
  readonly #leaving: AbortSignal
  readonly #withinMs: number
  readonly #until: number
  /** bytes of base64 that the request may still grow by */
  #room: number

  constructor(gw: Gateway, bodyBytes: number, leaving: AbortSignal) {
    this.#gw = gw
    this.#leaving = leaving
    this.#withinMs = gw.fetching.withinMs ?? WITHIN_MS
    this.#until = performance.now() + this.#withinMs
    this.#room = gw.config['limits.decoded_body'] - bodyBytes
  }

  async fetch(one: AtUrl, requestId: string): Promise<Fetched> {
    const { guard, ca } = this.#gw.fetching
    const url = readUrl(one.at.url, guard.rules)
    if (typeof url === 'string') return { why: `its URL ${url}` }
    const timeoutMs = this.#until - performance.now()
    if (timeoutMs <= 0) return { why: this.#late(url.hostname) }
    const watch = {
      head: (status: number, headers: IncomingHttpHeaders) => this.#judge(one, status, headers),
      more: (bytes: number) => this.#take(bytes),
    }
    try {
      const { headers, bytes } = await askBytes(
        {
          url,
          method: 'GET',
          headers: { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': `gw/${version}` },
        },
        { through: null, guard, ca, timeoutMs, leaving: this.#leaving, watch },
      )
      const mime = typeOf(one.kind, saidType(headers['content-type']), bytes)
      return mime === undefined
        ? { why: `what ${url.hostname} gave for its URL is no ${nameOf(one)} of a kind that is known` }
        : { mime, base64: bytes.toString('base64') }
    } catch (error) {
      if (error instanceof Unfetched) return { why: `${url.hostname} ${error.message}` }
      const { message: reason } = error as Error
      const code = codeOf(error as NodeJS.ErrnoException)
      if (ownTrouble(code) === 'alone')
        throw new Failure('NODE_TROUBLE', [code], { cause: error, retryAfterMs: NODE_AGAIN_MS })
      this.#gw.log.debug({ request_id: requestId, host: url.hostname, reason }, 'media by URL not fetched')
      return { why: isGuards(error) ? nowhere(url.hostname) : this.#because(url.hostname, code) }
    }
  }

  #judge({ kind }: AtUrl, status: number, headers: IncomingHttpHeaders): void {
    if (status >= 300 && status < 400)
      throw new Unfetched(`answered ${status} for its URL, a redirect, which is not followed`)
    if (status !== 200) throw new Unfetched(`answered ${status} for its URL`)
    if ((headers['content-encoding'] ?? 'identity') !== 'identity')
      throw new Unfetched('gives it compressed, which was not asked for')
    const said = saidType(headers['content-type'])
    if (said !== '' && !isOf(kind, said)) throw new Unfetched(`gives ${shown(said)} for its URL, which is no ${kind}`)
    if (inBase64(Number(headers['content-length'] ?? 0)) > this.#room) throw this.#tooLarge()
  }

  #take(bytes: number): void {
    this.#room -= inBase64(bytes)
    if (this.#room < 0) throw this.#tooLarge()
  }

  #tooLarge(): Unfetched {
    const most = formatSize(this.#gw.config['limits.decoded_body'])
    return new Unfetched(`gives more than there is room for: with what its URLs give a request may have ${most}`)
  }

  #because(host: string, code: string): string {
    if (code === 'ETIMEDOUT') return this.#late(host)
    if (unresolved.has(code)) return nowhere(host)
    if (isUntrusted(code)) return `${host}, which its URL names, shows a certificate that is not trusted`
    return `${host}, which its URL names, could not be reached or broke off`
  }

  #late(host: string): string {
    return `${host} did not give it within ${this.#withinMs / 1000} s, the time for all URLs of a request`
  }
}

// Of addresses inside, and whether there are any, nobody outside learns anything: a name without one is told as one that leads there.
const nowhere = (host: string) => `${host}, which its URL names, has no address on the public internet`
const unresolved = new Set(['ENOTFOUND', 'ENODATA', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA', 'EAI_NONAME'])
const isUntrusted = (code: string) => /CERT|^ERR_TLS_|SELF_SIGNED|UNABLE_TO_(?:GET|VERIFY)/.test(code)

const inBase64 = (bytes: number) => Math.ceil((bytes * 4) / 3)

const nameOf = ({ kind }: AtUrl) => (kind === 'document' ? 'PDF or text' : kind)

// It is a stranger's word.
const shown = (type: string) => (/^[\w.+/-]{1,80}$/.test(type) ? type : 'something else')

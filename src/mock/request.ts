// The life of one request: its step is taken, its body read, its reply made and sent.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { anthropic } from './anthropic/dialect.ts'
import { antigravity } from './antigravity/dialect.ts'
import type { Book, Page } from './book.ts'
import { portionBytes } from './bytes.ts'
import { type Call, callFrom, collect, readHead } from './call.ts'
import type { Dialect } from './dialect.ts'
import type { Gate } from './gate.ts'
import { gemini } from './gemini/dialect.ts'
import { oauth } from './oauth/dialect.ts'
import type { Tokens } from './oauth/tokens.ts'
import { openai } from './openai/dialect.ts'
import { flat, framing, play } from './play.ts'
import { type Made, type Ready, readyFor, type Scripts } from './script.ts'

/** Asked in this order; the last one answers for everything that no other knows. */
const dialects: Dialect[] = [oauth, openai, antigravity, gemini, anthropic]

const nothingMore = readyFor({
  status: 500,
  error: { type: 'api_error', message: 'The script expected nothing more, and here is a request.' },
})

/** Of an access token that has expired. */
const tooOld = readyFor({ status: 401 })

/** Replies kept per step. The size of the request shows in most of them, so there is no end to different ones. */
const madeKept = 256

export function createServe(
  scripts: Scripts,
  book: Book,
  gate: Gate,
  tokens: Tokens,
  connectionOf: (req: IncomingMessage) => number,
) {
  let served = 0

  return (req: IncomingMessage, res: ServerResponse): void => {
    const brought = readHead(req)
    const dialect = dialects.find(one => one.owns(brought)) ?? anthropic
    const { credential, expired } = tokens.owner(dialect.credential ?? brought.credential)
    const head = { ...brought, credential }
    const id = dialect.newId(++served)
    const idHeaders = [...(dialect.idHeader ? [dialect.idHeader, id] : []), 'x-mock-request-id', id]
    const page = book.begin(head, id, connectionOf(req))
    // Taken when the request arrives, not when its body is there: steps follow the order of arrival.
    let ready = scripts.next(head.credential, head.path)
    if (ready.step.expect) {
      page.unexpected()
      ready = nothingMore
    }
    if (expired) ready = tooOld

    let playing: AbortController | undefined
    const gone = () => {
      req.socket.off('end', gone)
      if (playing) playing.abort()
      else page.end('aborted', null)
    }
    // node tells of a client's FIN only after its own shutdown, a turn of the loop later; a request that the client put in
    // its place would by then be counted beside it.
    req.socket.once('end', gone)
    res.on('close', gone)

    collect(req, raw => {
      const call = { ...callFrom(head, id, raw), ...dialect.read?.(head) }
      page.body(raw, call.model, call.stream)
      const made = makeOnce(dialect, call, ready, tokens)
      if (made.reply.counts) page.counts(made.reply.counts)
      if (ready.atOnce && made.bytes.length <= portionBytes) return sendAtOnce(made, idHeaders, page, res)
      playing = new AbortController()
      const released = () => gate.wait(head.credential)
      play({ made, step: ready.step, page, res, id: idHeaders, released, gone: playing.signal })
    })
  }
}

// The page ends before the bytes leave, see play.ts.
function sendAtOnce(made: Made, id: string[], page: Page, res: ServerResponse): void {
  page.whole(made)
  res.writeHead(made.reply.status, [...id, ...made.head])
  res.end(made.bytes)
}

function makeOnce(dialect: Dialect, call: Call, { step, made }: Ready, tokens: Tokens): Made {
  const key = `${call.method} ${call.path} ${call.query} ${call.stream} ${call.body.length} ${call.model}`
  const usable = call.credential !== '' && call.fault === null
  const kept = usable && made.get(key)
  if (kept) return kept
  const reply = dialect.answer(call, step, tokens)
  const bytes = Buffer.concat(reply.pieces)
  const fresh: Made = {
    reply,
    bytes,
    sha256: null,
    head: flat({ ...framing(reply, bytes.length, step), ...reply.headers }),
  }
  if (reply.keep) {
    if (made.size >= madeKept) made.clear()
    made.set(key, fresh)
  }
  return fresh
}

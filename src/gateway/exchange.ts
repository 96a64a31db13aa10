// Exchange: one account asked, its answer relayed. Holds the head until the upstream has said something that counts.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { AttemptRecord, Outcome } from '../core/outcome.ts'
import { Failure } from '../lib/failure.ts'
import { formatDuration } from '../lib/units.ts'
import type { Platform } from '../platform/platform.ts'
import { platformTable } from '../platform/table.ts'
import { networkVerdict, statusOfClass, type Verdict } from '../platform/verdict.ts'
import { renameBody, renameFrame } from '../protocol/anthropic/rename.ts'
import type { Meter } from '../protocol/protocol.ts'
import type { Caller } from './authenticate.ts'
import type { Downstream } from './downstream.ts'
import type { Attempt, Listener } from './forward.ts'
import type { Gateway } from './gateway.ts'
import { bodyFor, endToEnd, idHeader, patience, relayedHeaders, streamHeaders } from './hop.ts'
import type { Call } from './receive.ts'
import type { Candidate } from './select.ts'
import { settle } from './settle.ts'
import { WholeEvents } from './whole.ts'

/** An account did not answer and the client has seen nothing: another may be tried. */
export interface Refused {
  /** of the upstream, or what it amounts to; 0 for a connection that failed */
  status: number
  /** what it means for the account */
  verdict: Extract<Verdict, { relay: false }>
  /** a kept-alive connection was closed under us: the same account deserves another connection */
  stale: boolean
}

// A whole answer is held back until it is known to be good; one larger than this is relayed as it comes.
const HOLD_BYTES = 32 * 1024 * 1024
// What is read of an error to know whose it is; one larger than this is judged by what there is.
const JUDGED_BYTES = 64 * 1024

/**
 * Sends the call to the candidate, over a connection of its own if `fresh`, and relays its answer. `answered` is told when
 * the account has proved that it serves: with a stream's first frame that counts, or a whole answer.
 * @returns undefined when the client has its answer, or why another account should be tried
 * @throws Failure when the answer broke off after the client had seen some of it, or the client left
 */
export function exchange(
  gw: Gateway,
  call: Call,
  caller: Caller,
  candidate: Candidate,
  down: Downstream,
  record: Outcome,
  answered: () => void,
  fresh = false,
): Promise<Refused | undefined> {
  return new Promise((resolve, reject) =>
    new Exchange(gw, call, caller, candidate, down, record, answered, resolve, reject).start(fresh),
  )
}

/**
 * connecting → (judging | opening | holding) → relaying → over.
 * judging: an error status, its body is read to know whose it is. opening: a stream without a frame that
 * counts yet. holding: a whole answer, relayed when its last byte proved it good. relaying: the client sees bytes.
 */
type State = 'connecting' | 'judging' | 'opening' | 'holding' | 'relaying' | 'over'

class Exchange implements Listener {
  #state: State = 'connecting'
  #status = 0
  #headers: IncomingHttpHeaders = {}
  #meter: Meter | undefined
  #events: WholeEvents | undefined
  #held: Buffer[] = []
  #heldBytes = 0
  #settled = false
  #attempt!: Attempt
  readonly #tried: AttemptRecord
  readonly #platform: Platform
  readonly #gw: Gateway
  readonly #call: Call
  readonly #candidate: Candidate
  readonly #down: Downstream
  readonly #record: Outcome
  readonly #answered: () => void
  readonly #resolve: (refused: Refused | undefined) => void
  readonly #reject: (failure: Failure) => void

  constructor(
    gw: Gateway,
    call: Call,
    caller: Caller,
    candidate: Candidate,
    down: Downstream,
    record: Outcome,
    answered: () => void,
    resolve: (refused: Refused | undefined) => void,
    reject: (failure: Failure) => void,
  ) {
    this.#gw = gw
    this.#call = call
    this.#candidate = candidate
    this.#down = down
    this.#record = record
    this.#answered = answered
    this.#resolve = resolve
    this.#reject = reject
    this.#platform = platformTable[caller.platform]!
    this.#tried = { account: candidate.account, startedMs: gw.now() - record.at, endedMs: 0, status: 0, error: '' }
    record.attempts.push(this.#tried)
  }

  start(fresh: boolean): void {
    const { route, req, query } = this.#call
    const request = this.#platform.prepare(
      { method: route.method, path: route.path, query, headers: endToEnd(req) },
      this.#candidate.account,
    )
    this.#record.phase = 'connecting'
    this.#attempt = this.#gw.engine.send(
      request,
      bodyFor(this.#call, this.#candidate.upstreamModel),
      patience(this.#gw),
      this,
      fresh,
    )
    this.#down.watcher = why => this.#interrupted(why)
    this.#down.onDrain = () => this.#attempt.resume()
    if (this.#down.interrupted) this.#interrupted(this.#down.interrupted)
  }

  head(response: IncomingMessage): void {
    this.#status = response.statusCode ?? 502
    this.#headers = response.headers
    this.#tried.status = this.#status
    this.#record.phase = 'waiting'
    const id = this.#headers['request-id'] ?? this.#headers['x-request-id']
    if (typeof id === 'string') this.#record.upstreamRequestId = id
    const type = this.#headers['content-type'] ?? ''
    if (this.#status >= 400) this.#state = 'judging'
    else if (!this.#call.peek.stream || type.includes('json')) this.#hold()
    else if (type.includes('text/event-stream') || type === '') this.#open()
    else this.#broken(`answered a stream with content-type ${type}`)
  }

  data(chunk: Buffer): void {
    switch (this.#state) {
      case 'relaying':
        this.#relay(chunk)
        return
      case 'opening':
        this.#keep(chunk)
        this.#meter!.push(chunk)
        if (this.#meter!.error && !this.#meter!.begun) this.#refuseError(this.#meter!.error)
        else if (this.#meter!.begun) this.#commitStream()
        return
      case 'holding':
        // It has begun to answer: from now on a whole answer, too, may take its time but not fall silent.
        if (this.#heldBytes === 0) this.#attempt.begun()
        this.#keep(chunk)
        this.#meter?.push(chunk)
        if (this.#heldBytes > HOLD_BYTES) this.#commitLarge()
        return
      case 'judging':
        this.#keep(chunk)
        if (this.#heldBytes >= JUDGED_BYTES) this.#judge()
    }
  }

  end(): void {
    switch (this.#state) {
      case 'relaying':
        this.#endRelay()
        return
      case 'opening':
        this.#meter!.end()
        if (this.#meter!.begun) {
          this.#commitStream()
          this.#endRelay()
        } else this.#broken(this.#meter!.error?.message ?? 'answered with an empty stream')
        return
      case 'holding':
        this.#endHold()
        return
      case 'judging':
        this.#judge()
    }
  }

  fail(error: NodeJS.ErrnoException): void {
    if (this.#state === 'over') return
    const reason =
      error.code === undefined
        ? error.message
        : `${error.message.includes(error.code) ? '' : `${error.code}: `}${error.message}`
    this.#tried.error = reason
    if (this.#state === 'relaying') {
      if (error.code === 'ECLIENTSTALLED') this.#down.interrupt(new Failure('CLIENT_GONE', [], { cause: error }))
      // The client has the end already, good or bad; what the connection did after it is of no interest.
      else if (this.#meter?.complete || this.#meter?.error) this.#endRelay()
      else
        this.#break(
          error.code === 'EIDLE'
            ? new Failure('UPSTREAM_IDLE', [formatDuration(this.#gw.config['timeouts.idle'])])
            : new Failure('UPSTREAM_BROKE', [], { cause: error }),
        )
    } else if (this.#state === 'judging') this.#judge()
    else {
      const stale =
        this.#state === 'connecting' &&
        this.#attempt?.reused === true &&
        (error.code === 'ECONNRESET' || error.code === 'EPIPE')
      this.#refuse(0, { ...networkVerdict(error.code ?? ''), reason }, stale)
    }
  }

  // A whole answer: kept until its end.
  #hold(): void {
    this.#state = 'holding'
    if (this.#call.route.kind === 'generate') this.#meter = this.#call.route.protocol.meter(false)
  }

  #open(): void {
    this.#state = 'opening'
    this.#meter = this.#call.route.protocol.meter(true)
  }

  #keep(chunk: Buffer): void {
    this.#held.push(chunk)
    this.#heldBytes += chunk.length
  }

  #take(): Buffer {
    const all = this.#held.length === 1 ? this.#held[0]! : Buffer.concat(this.#held, this.#heldBytes)
    this.#held = []
    this.#heldBytes = 0
    return all
  }

  get #renamed(): boolean {
    return this.#candidate.upstreamModel !== this.#call.peek.model
  }

  #commitStream(): void {
    this.#begin()
    this.#attempt.begun()
    this.#down.head(this.#status, { ...streamHeaders, ...idHeader(this.#record) }, true)
    this.#down.quiet()
    const held = this.#take()
    this.#events = new WholeEvents()
    this.#pass(this.#renamed ? renameFrame(held, this.#call.peek.model) : held)
  }

  #commitLarge(): void {
    this.#begin()
    this.#attempt.begun()
    this.#down.head(this.#status, relayedHeaders(this.#headers, this.#record))
    this.#pass(this.#take())
  }

  #begin(): void {
    this.#state = 'relaying'
    this.#answered()
    this.#record.phase = 'streaming'
    this.#record.firstTokenMs = this.#gw.now() - this.#record.at
  }

  #relay(chunk: Buffer): void {
    this.#meter?.push(chunk)
    this.#pass(chunk)
  }

  #pass(chunk: Buffer): void {
    // The stream's last frame is in this chunk: what it cost must be on disk before the client can know that it is done.
    if (this.#meter?.complete && !this.#settled) this.#settle()
    const whole = this.#events ? this.#events.push(chunk) : chunk
    if (whole.length > 0 && !this.#down.write(whole)) this.#attempt.pause()
  }

  #endRelay(): void {
    this.#meter?.end()
    if (this.#meter && !this.#meter.complete && !this.#meter.error) {
      this.#tried.error = 'the stream ended before its last event'
      this.#break(new Failure('UPSTREAM_BROKE'))
      return
    }
    if (this.#meter?.error) {
      // The client has the upstream's own error event; for our books the answer is partial, and the account is warned.
      const verdict = this.#platform.judgeEvent(this.#meter.error.type, this.#meter.error.message, this.#gw.now())
      if (!verdict.relay)
        this.#gw.health.refused(this.#candidate.account.id, this.#call.peek.model, verdict, this.#gw.now())
      this.#tried.error = this.#meter.error.message
      this.#record.error = this.#meter.error.message
    }
    this.#settle()
    this.#finish()
    this.#down.end(this.#events?.rest())
    this.#resolve(undefined)
  }

  #endHold(): void {
    const body = this.#take()
    if (this.#meter) {
      this.#meter.end()
      if (this.#meter.error) {
        this.#refuseError(this.#meter.error)
        return
      }
      if (!this.#meter.complete) {
        this.#broken('answered with something that is not a message')
        return
      }
      this.#record.firstTokenMs = this.#gw.now() - this.#record.at
      this.#settle()
    }
    this.#answered()
    this.#finish()
    const answer = this.#renamed && this.#status < 400 ? renameBody(body, this.#call.peek.model) : body
    // Pings have made it a stream; what is no stream can then only be told as an error.
    if (this.#down.committed) this.#down.failWith(this.#call.route.protocol.asErrorFrame(answer))
    else this.#relayWhole(answer)
    this.#resolve(undefined)
  }

  #relayWhole(answer: Buffer): void {
    this.#down.head(this.#status, { ...relayedHeaders(this.#headers, this.#record), 'content-length': answer.length })
    this.#down.end(answer)
  }

  // An error inside a 200: the client's own is relayed, anything else is the account's.
  #refuseError(error: { type: string; message: string }): void {
    const verdict = this.#platform.judgeEvent(error.type, error.message, this.#gw.now())
    if (!verdict.relay) this.#refuse(statusOfClass[verdict.class], verdict)
    else if (this.#state === 'opening') this.#commitStream()
    else this.#broken(error.message || error.type)
  }

  // An error status: the account's, or the client's own and then relayed as it came.
  #judge(): void {
    const body = this.#take()
    const verdict = this.#platform.judge(
      this.#status,
      this.#headers,
      body.toString('utf8', 0, JUDGED_BYTES),
      this.#gw.now(),
    )
    if (!verdict.relay) {
      this.#refuse(this.#status, verdict)
      return
    }
    this.#keep(body)
    if (body.length < JUDGED_BYTES) this.#endHold()
    else this.#commitLarge()
  }

  // What came is no answer in this dialect; the account may be behind a proxy that is not well.
  #broken(reason: string): void {
    this.#refuse(502, { ...networkVerdict('EBADANSWER'), reason })
  }

  #refuse(status: number, verdict: Refused['verdict'], stale = false): void {
    this.#tried.error = verdict.reason
    this.#tried.status = status
    this.#attempt?.abort()
    this.#finish()
    this.#resolve({ status, verdict, stale })
  }

  // The client has seen some of it: it gets a terminal error, never a second answer.
  #break(failure: Failure): void {
    if (this.#meter) this.#settle()
    this.#finish()
    this.#reject(failure)
  }

  #interrupted(why: Failure): void {
    this.#attempt.abort()
    if (this.#state === 'over') return
    this.#tried.error ||= why.code === 'CLIENT_GONE' ? 'the client left' : 'shut down'
    if (this.#meter && this.#status < 400) {
      if (this.#state !== 'relaying') this.#meter.end()
      this.#settle()
    }
    this.#finish()
    this.#reject(why)
  }

  #settle(): void {
    if (this.#settled || this.#call.route.kind !== 'generate') return
    this.#settled = true
    this.#record.usage = this.#meter!.usage
    this.#record.partial = !this.#meter!.complete
    this.#record.status = this.#down.interrupted?.status ?? this.#status
    settle(this.#gw, this.#record)
  }

  #finish(): void {
    this.#state = 'over'
    this.#tried.endedMs = this.#gw.now() - this.#record.at
    this.#down.watcher = undefined
    this.#down.onDrain = undefined
  }
}

// Exchange: one account asked, its answer relayed. Holds the head until the upstream has said something that counts.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { AttemptRecord, Outcome } from '../../core/outcome.ts'
import type { Meter } from '../../dialect/dialect.ts'
import { renameBody, renameFrame } from '../../dialect/messages/rename.ts'
import { WholeEvents } from '../../dialect/whole-events.ts'
import { Failure } from '../../lib/failure.ts'
import { formatDuration } from '../../lib/units.ts'
import type { Platform } from '../../platform/platform.ts'
import { platformTable } from '../../platform/table.ts'
import { networkVerdict, statusOfClass, type Verdict } from '../../platform/verdict.ts'
import type { Bill } from '../admit/bill.ts'
import type { Downstream } from '../answer/downstream.ts'
import type { Candidate } from '../choose/select.ts'
import type { Caller } from '../enter/authenticate.ts'
import type { Call } from '../enter/receive.ts'
import type { Gateway } from '../gateway.ts'
import { Backlog } from './backlog.ts'
import { Drain } from './drain.ts'
import type { Attempt, Listener } from './engine/proxy.ts'
import { bodyFor, endToEnd, idHeader, patience, relayedHeaders, streamHeaders } from './hop.ts'

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

export interface ExchangeOptions {
  gw: Gateway
  call: Call
  caller: Caller
  candidate: Candidate
  down: Downstream
  outcome: Outcome
  /** undefined: it costs nothing */
  bill: Bill | undefined
  /** told when the account has proved that it serves: with a stream's first frame that counts, or a whole answer */
  answered: () => void
  /** over a connection that nobody has used */
  fresh?: boolean
}

/**
 * Sends the call to the candidate and relays its answer.
 * @returns undefined when the client has its answer, or why another account should be tried
 * @throws Failure when the answer broke off after the client had seen some of it, or the client left
 */
export function exchange(options: ExchangeOptions): Promise<Refused | undefined> {
  return new Exchange(options).start()
}

/**
 * connecting → (judging | opening | holding) → relaying → over.
 * judging: an error status, its body is read to know whose it is. opening: a stream without a frame that
 * counts yet. holding: a whole answer, relayed when its last byte proved it good. relaying: the client sees bytes.
 * From any of them, when the client leaves: draining → over.
 */
type State = 'connecting' | 'judging' | 'opening' | 'holding' | 'relaying' | 'draining' | 'over'

class Exchange implements Listener {
  #state: State = 'connecting'
  #status = 0
  #headers: IncomingHttpHeaders = {}
  #meter: Meter | undefined
  #events: WholeEvents | undefined
  readonly #backlog = new Backlog()
  #attempt!: Attempt
  readonly #tried: AttemptRecord
  readonly #platform: Platform
  readonly #by: ExchangeOptions
  readonly #done = Promise.withResolvers<Refused | undefined>()

  constructor(by: ExchangeOptions) {
    const { gw, caller, candidate, outcome } = by
    this.#by = by
    this.#platform = platformTable[caller.platform]!
    this.#tried = outcome.attempt(candidate.account, gw.now())
  }

  start(): Promise<Refused | undefined> {
    const { route, req, query } = this.#by.call
    const request = this.#platform.prepare(
      { method: route.method, path: route.path, query, headers: endToEnd(req) },
      this.#by.candidate.account,
    )
    this.#by.outcome.phase = 'connecting'
    this.#attempt = this.#by.gw.engine.send(
      request,
      bodyFor(this.#by.call, this.#by.candidate.upstreamModel),
      patience(this.#by.gw),
      this,
      this.#by.fresh,
    )
    this.#by.down.watcher = why => this.#interrupted(why)
    this.#by.down.onDrain = () => this.#attempt.resume()
    if (this.#by.down.interrupted) this.#interrupted(this.#by.down.interrupted)
    return this.#done.promise
  }

  head(response: IncomingMessage): void {
    this.#note(response)
    this.#by.outcome.phase = 'waiting'
    const type = this.#headers['content-type'] ?? ''
    if (this.#status >= 400) this.#state = 'judging'
    else if (!this.#by.call.peek.stream || type.includes('json')) this.#hold()
    else if (type.includes('text/event-stream') || type === '') this.#open()
    else this.#broken(`answered a stream with content-type ${type}`)
  }

  #note({ statusCode = 502, headers }: IncomingMessage): void {
    this.#status = this.#tried.status = statusCode
    this.#headers = headers
    const id = headers['request-id'] ?? headers['x-request-id']
    if (typeof id === 'string') this.#by.outcome.upstreamRequestId = id
  }

  data(chunk: Buffer): void {
    switch (this.#state) {
      case 'relaying':
        this.#relay(chunk)
        return
      case 'opening':
        this.#backlog.keep(chunk)
        this.#meter!.push(chunk)
        if (this.#meter!.error && !this.#meter!.begun) this.#refuseError(this.#meter!.error)
        else if (this.#meter!.begun) this.#commitStream()
        return
      case 'holding':
        // It has begun to answer: from now on a whole answer, too, may take its time but not fall silent.
        if (this.#backlog.bytes === 0) this.#attempt.begun()
        this.#backlog.keep(chunk)
        this.#meter?.push(chunk)
        if (this.#backlog.bytes > HOLD_BYTES) this.#commitLarge()
        return
      case 'judging':
        this.#backlog.keep(chunk)
        if (this.#backlog.bytes >= JUDGED_BYTES) this.#judge()
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
    const { code, message } = error
    const reason = code === undefined || message.includes(code) ? message : `${code}: ${message}`
    this.#tried.error = reason
    if (this.#state === 'relaying') {
      if (error.code === 'ECLIENTSTALLED') this.#by.down.interrupt(new Failure('CLIENT_GONE', [], { cause: error }))
      // The client has the end already, good or bad; what the connection did after it is of no interest.
      else if (this.#meter?.complete || this.#meter?.error) this.#endRelay()
      else
        this.#break(
          error.code === 'EIDLE'
            ? new Failure('UPSTREAM_IDLE', [formatDuration(this.#by.gw.config['timeouts.idle'])])
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
    if (this.#by.call.route.kind === 'generate') this.#meter = this.#by.call.route.dialect.meter(false)
  }

  #open(): void {
    this.#state = 'opening'
    this.#meter = this.#by.call.route.dialect.meter(true)
  }

  get #renamed(): boolean {
    return this.#by.candidate.upstreamModel !== this.#by.call.peek.model
  }

  #commitStream(): void {
    this.#begin()
    this.#attempt.begun()
    this.#by.down.head(this.#status, { ...streamHeaders, ...idHeader(this.#by.outcome) }, true)
    this.#by.down.quiet()
    const held = this.#backlog.take()
    this.#events = new WholeEvents()
    this.#pass(this.#renamed ? renameFrame(held, this.#by.call.peek.model) : held)
  }

  #commitLarge(): void {
    this.#begin()
    this.#attempt.begun()
    this.#by.down.head(this.#status, relayedHeaders(this.#headers, this.#by.outcome))
    this.#pass(this.#backlog.take())
  }

  #begin(): void {
    this.#state = 'relaying'
    this.#by.answered()
    this.#by.outcome.phase = 'streaming'
    this.#by.outcome.firstTokenMs = this.#by.gw.now() - this.#by.outcome.at
  }

  #relay(chunk: Buffer): void {
    this.#meter?.push(chunk)
    this.#pass(chunk)
  }

  #pass(chunk: Buffer): void {
    // The stream's last frame is in this chunk: what it cost must be on disk before the client can know that it is done.
    if (this.#meter?.complete) this.#settle()
    const whole = this.#events ? this.#events.push(chunk) : chunk
    if (whole.length > 0 && !this.#by.down.write(whole)) this.#attempt.pause()
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
      const verdict = this.#platform.judgeEvent(this.#meter.error.type, this.#meter.error.message, this.#by.gw.now())
      if (!verdict.relay)
        this.#by.gw.health.refused(this.#by.candidate.account.id, this.#by.call.peek.model, verdict, this.#by.gw.now())
      this.#tried.error = this.#meter.error.message
      this.#by.outcome.error = this.#meter.error.message
    }
    if (this.#meter?.begun) this.#settle() // else it was a refusal, relayed as it came
    this.#finish()
    this.#by.down.end(this.#events?.rest())
    this.#done.resolve(undefined)
  }

  #endHold(): void {
    const body = this.#backlog.take()
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
      this.#by.outcome.firstTokenMs = this.#by.gw.now() - this.#by.outcome.at
      this.#settle()
    }
    this.#by.answered()
    this.#finish()
    const answer = this.#renamed && this.#status < 400 ? renameBody(body, this.#by.call.peek.model) : body
    // Pings have made it a stream; what is no stream can then only be told as an error.
    if (this.#by.down.committed) this.#by.down.failWith(this.#by.call.route.dialect.asErrorFrame(answer))
    else this.#relayWhole(answer)
    this.#done.resolve(undefined)
  }

  #relayWhole(answer: Buffer): void {
    this.#by.down.head(this.#status, {
      ...relayedHeaders(this.#headers, this.#by.outcome),
      'content-length': answer.length,
    })
    this.#by.down.end(answer)
  }

  // An error inside a 200: the client's own is relayed, anything else is the account's.
  #refuseError(error: { type: string; message: string }): void {
    const verdict = this.#platform.judgeEvent(error.type, error.message, this.#by.gw.now())
    if (!verdict.relay) this.#refuse(statusOfClass[verdict.class], verdict)
    else if (this.#state === 'opening') this.#commitStream()
    else this.#broken(error.message || error.type)
  }

  // An error status: the account's, or the client's own and then relayed as it came.
  #judge(): void {
    const body = this.#backlog.take()
    const verdict = this.#platform.judge(
      this.#status,
      this.#headers,
      body.toString('utf8', 0, JUDGED_BYTES),
      this.#by.gw.now(),
    )
    if (!verdict.relay) {
      this.#refuse(this.#status, verdict)
      return
    }
    this.#backlog.keep(body)
    if (body.length < JUDGED_BYTES) this.#endHold()
    else this.#commitLarge()
  }

  // No answer in this dialect; the account may be behind a proxy that is not well.
  #broken(reason: string): void {
    this.#refuse(502, { ...networkVerdict('EBADANSWER'), reason })
  }

  #refuse(status: number, verdict: Refused['verdict'], stale = false): void {
    this.#tried.error = verdict.reason
    this.#tried.status = status
    this.#attempt?.abort()
    this.#finish()
    this.#done.resolve({ status, verdict, stale })
  }

  // The client has seen some of it: it gets a terminal error, never a second answer.
  #break(failure: Failure): void {
    if (this.#meter) this.#settle()
    this.#finish()
    this.#done.reject(failure)
  }

  #interrupted(why: Failure): void {
    if (this.#state === 'over') this.#attempt.abort()
    else {
      this.#tried.error ||= why.code === 'CLIENT_GONE' ? 'the client left' : 'shut down'
      // What was sent is paid for, whoever still waits for it. The provider's own errors are not.
      const owed = this.#by.bill?.settled === false && this.#attempt.sent && this.#status < 400
      if (!owed || why.code !== 'CLIENT_GONE') this.#cut(why, owed && this.#meter?.begun === true)
      else if (this.#by.bill!.drainMs === 0 || this.#attempt.over) this.#cut(why, true)
      else this.#readOn(why)
    }
  }

  #cut(why: Failure, owed: boolean): void {
    this.#attempt.abort()
    if (owed) {
      if (this.#state !== 'relaying') this.#meter?.end()
      this.#settle()
    }
    this.#finish()
    this.#done.reject(why)
  }

  #readOn(why: Failure): void {
    this.#by.outcome.phase = 'draining'
    this.#backlog.take()
    const drain = new Drain({
      attempt: this.#attempt,
      dialect: this.#by.call.route.dialect,
      meter: this.#meter,
      whole: this.#state === 'holding',
      withinMs: this.#by.bill!.drainMs,
      head: response => this.#note(response),
      over: (meter, owed) => {
        this.#meter = meter
        this.#cut(why, owed)
      },
    })
    this.#state = 'draining'
    this.#by.down.watcher = () => drain.stop()
  }

  #settle(): void {
    this.#by.bill?.settle(this.#meter, this.#by.down.interrupted?.status ?? this.#status)
  }

  #finish(): void {
    this.#state = 'over'
    this.#tried.endedMs = this.#by.gw.now() - this.#by.outcome.at
    this.#by.down.watcher = undefined
    this.#by.down.onDrain = undefined
  }
}

// Exchange: one account asked, its answer relayed, its head held until it says something that counts. Long, because all its states are one story.
import type { IncomingHttpHeaders } from 'node:http'
import { type Concealer, concealerOf, type Pieces } from '../../core/conceal.ts'
import type { AttemptRecord, Outcome } from '../../core/outcome.ts'
import { credentialOf } from '../../core/snapshot.ts'
import { traceHeaders } from '../../core/trace.ts'
import type { Meter } from '../../dialect/dialect.ts'
import { faultOf } from '../../dialect/middle/fault.ts'
import { promptTokens } from '../../dialect/usage.ts'
import { PROXY_CODE, proxyFault } from '../../egress/through.ts'
import { excerpt } from '../../lib/credentials.ts'
import { Failure } from '../../lib/failure.ts'
import { codeOf } from '../../lib/own-trouble.ts'
import { formatDuration } from '../../lib/units.ts'
import {
  brief,
  type Declined,
  declined,
  namesOf,
  networkVerdict,
  readError,
  statusOfClass,
} from '../../platform/verdict.ts'
import type { Bill } from '../admit/bill.ts'
import type { Downstream, Fields, Watcher } from '../answer/downstream.ts'
import type { Candidate } from '../choose/select.ts'
import type { Caller } from '../enter/authenticate.ts'
import type { Call } from '../enter/receive.ts'
import { isMetered } from '../enter/routes.ts'
import type { Gateway } from '../gateway.ts'
import type { Proofs } from './asked.ts'
import { Backlog } from './backlog.ts'
import type { Head } from './engine/engine.ts'
import type { FetchedMedia } from './fetch.ts'
import { idField, patience, relayedFields } from './hop.ts'
import type { Rendition } from './rendition/rendition.ts'
import { type Listener, Upstream } from './upstream.ts'
import { type Way, wayTo } from './way.ts'

/** An account did not answer and the client has seen nothing: another may be tried. */
export interface Refused {
  /** of the upstream, or what it amounts to; 0 for a connection that failed */
  status: number
  /** of a connection that failed, as Node names it; else '' */
  code: string
  /** what it means for the account */
  verdict: Declined
  /** a kept-alive connection was closed under us: the same account deserves another connection */
  stale: boolean
  /** it refused the proofs of reasoning in the history: it may be asked once without them */
  seals: boolean
}

const unconnected = new Set(['ETIMEDOUT', 'ECONNRESET', 'EPIPE'])

// A whole answer whose time is over may still come, and has been paid for: nobody else is asked for it.
const timeouts = new Set(['EHEADERS', 'EFIRSTTOKEN', 'EIDLE'])

// What is read of an error to know whose it is; one larger than this is judged by what there is.
const JUDGED_BYTES = 64 * 1024

const SPACE = 0x20
const nobody: readonly string[] = []
const jsonBegins = '{['
// Its fields event, data, id and retry, and comments.
const eventBegins = 'edir:'

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
  standing: { answered(): void }
  /** what is kept for the client, of a call that is translated */
  proofs: Proofs
  /** media that the client named by URL */
  fetched: FetchedMedia | undefined
  /** over a connection that nobody has used */
  fresh?: boolean
  /** without the proofs of reasoning, which were refused */
  unsealed?: boolean
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
 * connecting → deciding → relaying → over.
 * deciding: the head is here, and what the client may have is kept back: of an error status until it is known whose it is
 * (there is no rendition then), of an answer until its rendition is ready, or all of it. relaying: the client sees bytes.
 * An answer is over with its dialect's last event, whatever its connection does.
 * From any of them, when the client leaves: draining → over; it is read on for what it cost, as its group says.
 */
type State = 'connecting' | 'deciding' | 'relaying' | 'draining' | 'over'

class Exchange implements Listener, Watcher {
  #state: State = 'connecting'
  #status = 0
  #headers: IncomingHttpHeaders = {}
  // The upstream streams, which is not always what the client asked for.
  #streaming = false
  #looked = false
  #rendition: Rendition | undefined
  /** of an error body that is too large to be kept back */
  #large: Pieces | undefined
  readonly #backlog = new Backlog()
  #upstream!: Upstream
  #patience: NodeJS.Timeout | undefined
  readonly #tried: AttemptRecord
  #way!: Way
  readonly #by: ExchangeOptions
  readonly #done = Promise.withResolvers<Refused | undefined>()

  constructor(by: ExchangeOptions) {
    const { gw, candidate, outcome } = by
    this.#by = by
    this.#tried = outcome.attempt(candidate.account, gw.now())
  }

  start(): Promise<Refused | undefined> {
    const { gw, call, caller, candidate, down, outcome, proofs, fetched, fresh, unsealed = false } = this.#by
    try {
      this.#way = wayTo({ gw, call, caller, candidate, proofs, fetched, unsealed })
    } catch (error) {
      this.#tried.error = (error as Error).message
      this.#tried.endedMs = gw.now() - outcome.at
      throw error
    }
    const { request, body } = this.#way
    if (candidate.account.proxy) request.via = candidate.account.proxy
    const { trace } = outcome
    if (trace) {
      if (trace.sampled) this.#tried.spanId = gw.tracing!.spanId()
      Object.assign(request.headers, traceHeaders(trace, this.#tried.spanId))
    }
    outcome.phase = 'connecting'
    outcome.dialect = call.dialect.name
    outcome.upstreamDialect = this.#way.dialect
    outcome.dropped = this.#way.notes?.tokens ?? nobody
    this.#upstream = new Upstream(gw, request, body, patience(gw, call.stream), this, fresh)
    down.watcher = this
    if (down.interrupted) this.interrupted(down.interrupted)
    return this.#done.promise
  }

  // ---- what the upstream does ----

  head({ status, headers }: Head): void {
    const { call, outcome, gw, candidate } = this.#by
    gw.egress.reached(candidate.account.proxy)
    this.#status = this.#tried.status = status
    this.#headers = headers
    const id = headers['request-id'] ?? headers['x-request-id']
    if (typeof id === 'string')
      this.#tried.requestId = outcome.upstreamRequestId = status < 400 ? id : this.#concealer.text(id)
    const type = headers['content-type']?.toLowerCase() ?? ''
    const { stream } = call
    // What says nothing of itself is taken for what was asked for.
    const streams = call.route.kind === 'generate' && (type.includes('text/event-stream') || (stream && type === ''))
    if (this.#state === 'draining') {
      this.#upstream.begun()
      if (status >= 400) this.#leave(false)
      else this.#render(streams)
      return
    }
    outcome.phase = 'waiting'
    this.#state = 'deciding'
    if (status >= 400) return
    // What is no message can only be told by what it says of itself.
    const whole = !stream && (type === '' || isMetered(call.route))
    if (streams || whole || type.includes('json')) this.#render(streams)
    else this.#broken(`answered ${stream ? 'a stream ' : ''}with content-type ${type}`)
  }

  data(chunk: Buffer): void {
    if (!this.#looked) this.#look(chunk)
    switch (this.#state) {
      case 'relaying':
        this.#pass(this.#rendition ? this.#rendition.push(chunk) : this.#large!.push(chunk))
        return
      case 'deciding':
        if (this.#rendition) this.#decide(this.#rendition, chunk)
        else {
          this.#backlog.keep(chunk)
          if (this.#backlog.bytes >= JUDGED_BYTES) this.#judge()
        }
        return
      case 'draining':
        this.#rendition?.pass(chunk)
        if (this.#meter?.ended || this.#knowsEnough) this.#leave(this.#owed)
    }
  }

  end(): void {
    switch (this.#state) {
      case 'relaying':
        this.#endRelay(this.#rendition ? this.#rendition.end() : this.#large!.end())
        return
      case 'deciding':
        if (!this.#rendition) this.#judge()
        else this.#endUndecided(this.#rendition)
        return
      case 'draining':
        this.#rendition?.passEnd()
        this.#leave(this.#owed)
    }
  }

  fail(failed: NodeJS.ErrnoException): void {
    if (this.#state === 'over') return
    if (this.#state === 'draining') {
      this.#rendition?.passEnd()
      this.#leave(this.#owed)
      return
    }
    // It has said all of it; its connection has not.
    if (this.#state === 'deciding' && this.#rendition && !this.#streaming) {
      const body = this.#rendition.end()
      if (this.#meter!.complete && !this.#meter!.error) {
        this.#endWhole(body)
        return
      }
    }
    // Until there is a connection through it, it is the proxy's trouble.
    const { proxy } = this.#by.candidate.account
    const error = proxy && !this.#upstream?.sent && unconnected.has(codeOf(failed)) ? proxyFault(proxy, failed) : failed
    const { message } = error
    const code = codeOf(error)
    const reason = code === PROXY_CODE || message.includes(code) ? message : `${code}: ${message}`
    this.#tried.error = reason
    this.#tried.kind = networkVerdict(code).class
    this.#tried.cause = this.#causeOf(code)
    if (this.#state === 'relaying') this.#failRelay(error)
    else if (this.#state === 'deciding' && !this.#rendition) this.#judge()
    else if (timeouts.has(code) && this.#by.bill && !this.#by.call.stream) this.#tooLate(error)
    else {
      const stale =
        this.#state === 'connecting' &&
        this.#upstream?.reused === true &&
        (error.code === 'ECONNRESET' || error.code === 'EPIPE')
      this.#refuse(0, { ...networkVerdict(code), reason }, stale, code)
    }
  }

  #causeOf(code: string): string {
    if (timeouts.has(code)) return 'UT'
    if (code.startsWith('HPE_') || code === 'EBADANSWER') return 'UPE'
    return this.#upstream?.sent ? 'UC' : 'UF'
  }

  /** A mistake of ours ends this request, as an internal error. */
  crashed(error: unknown): void {
    clearTimeout(this.#patience)
    this.#finish()
    this.#done.reject(error)
  }

  // ---- deciding ----

  #render(streaming: boolean): void {
    this.#streaming = streaming
    this.#rendition = this.#way.rendition(streaming)
    this.#by.outcome.meter = this.#rendition?.meter
  }

  // What is labelled wrongly: JSON begins with a bracket, which no line of an event does.
  #look(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length && chunk[at]! <= SPACE) at++
    if (at === chunk.length) return
    this.#looked = true
    if (!this.#rendition || this.#by.call.route.kind !== 'generate') return
    const begins = String.fromCharCode(chunk[at]!)
    if (!(this.#streaming ? jsonBegins : eventBegins).includes(begins)) return
    this.#headers['content-type'] = this.#streaming ? 'application/json' : 'text/event-stream'
    this.#render(!this.#streaming)
  }

  get #meter(): Meter | undefined {
    return this.#rendition?.meter
  }

  #decide(rendition: Rendition, chunk: Buffer): void {
    const bytes = rendition.push(chunk)
    if (bytes.length > 0) this.#backlog.keep(bytes)
    const { meter } = rendition
    const { stream } = this.#by.call
    // It has begun to answer: from now on a whole answer, too, may take its time but not fall silent.
    if (meter.begun) this.#upstream.begun()
    // Of a whole answer the client has seen nothing, however far it came.
    if (meter.error && !(meter.begun && stream)) this.#refuseError(meter.error)
    else if (rendition.ready) this.#commit()
    else if (meter.ended) this.#endUndecided(rendition)
  }

  #commit(): void {
    const { down, gw, outcome, standing } = this.#by
    this.#state = 'relaying'
    standing.answered()
    outcome.phase = 'streaming'
    outcome.firstTokenMs = gw.now() - outcome.at
    this.#upstream.begun()
    if (this.#streaming) this.#stream()
    else {
      down.quiet()
      down.head(this.#status, this.#relayed(outcome))
    }
    this.#pass(this.#backlog.take())
  }

  #stream(): void {
    const { down } = this.#by
    down.stream(this.#status, this.#idFields())
    const made = this.#rendition
    if (made?.fail) down.failing = failure => made.fail!(faultOf(failure))
  }

  #idFields(): Fields {
    return this.#withDropped(idField(this.#by.outcome))
  }

  #relayed(outcome: Outcome): Fields {
    return this.#withDropped(relayedFields(this.#headers, outcome))
  }

  #withDropped(fields: Fields): Fields {
    const { notes } = this.#way
    if (notes && notes.header !== '') fields.push('x-gw-dropped', notes.header)
    return fields
  }

  #endUndecided(rendition: Rendition): void {
    const rest = rendition.end()
    if (!this.#streaming || !this.#by.call.stream) {
      this.#endWhole(rest)
      return
    }
    this.#backlog.keep(rest)
    const { meter } = rendition
    if (meter.begun) {
      this.#commit()
      if (!meter.ended) this.#endRelay(undefined)
    } else if (meter.error) this.#refuseError(meter.error)
    else this.#broken('answered with an empty stream')
  }

  #endWhole(body: Buffer): void {
    const { call, down, gw, outcome } = this.#by
    const meter = this.#meter
    if (meter?.error) this.#refuseError(meter.error)
    else if (!meter?.complete || body.length === 0) this.#broken('answered with something that is not a message')
    else {
      if (isMetered(call.route)) {
        outcome.firstTokenMs = gw.now() - outcome.at
        this.#settle()
      }
      if (!call.stream) this.#answerWhole(body)
      else {
        down.stream(this.#status, this.#idFields())
        down.end(body)
        this.#answered()
      }
    }
  }

  // As it came, and so are the errors that are the client's own.
  #answerWhole(body: Buffer): void {
    const { call, down, outcome } = this.#by
    // Pings have made it a stream; what is no stream can then only be told as an error.
    if (down.committed) down.end(call.dialect.asErrorFrame(body, down.spoken))
    else down.whole(this.#status, this.#fields(outcome), body)
    this.#answered()
  }

  // What was gathered is no stream any more.
  #fields(outcome: Outcome): Fields {
    return this.#streaming || this.#way.translated
      ? ['content-type', 'application/json', ...this.#idFields()]
      : this.#relayed(outcome)
  }

  #answered(): void {
    this.#by.standing.answered()
    this.#upstream.linger()
    this.#finish()
    this.#done.resolve(undefined)
  }

  // An error inside a 200: the client's own is relayed, anything else is the account's.
  #refuseError(error: { type: string; message: string }): void {
    const message = this.#said(error)
    const verdict = this.#way.platform.judgeEvent(error.type, message, this.#by.gw.now())
    this.#tried.kind = verdict.relay ? 'client' : verdict.class
    if (!verdict.relay) this.#refuse(statusOfClass[verdict.class], verdict)
    // An answer that ended so may do better the next time, also when there was no proof to leave out.
    else if (verdict.seals && this.#by.unsealed !== true) this.#again()
    else if (this.#streaming && this.#by.call.stream) this.#commit()
    else {
      // In a whole answer its status would call it a good one.
      this.#upstream.linger()
      this.#finish()
      this.#done.reject(new Failure('REQUEST_REFUSED', [brief(message) || error.type]))
    }
  }

  /** Notes an error inside a 200. @returns its message, as anybody may hear it */
  #said(error: { type: string; message: string }): string {
    const message = this.#concealer.text(error.message)
    const type = this.#concealer.text(error.type)
    this.#tried.errorType = type
    this.#tried.excerpt = excerpt(type === '' ? message : `${type}: ${message}`)
    return message
  }

  // An error status: the account's, or the client's own and then relayed as it came.
  #judge(): void {
    const body = this.#concealer.bytes(this.#backlog.take())
    const text = body.toString('utf8', 0, JUDGED_BYTES)
    const verdict = this.#way.platform.judge(this.#status, this.#headers, text, this.#by.gw.now())
    const names = namesOf(text)
    this.#tried.errorType = names.type
    this.#tried.errorCode = names.code
    this.#tried.excerpt = excerpt(text)
    this.#tried.kind = verdict.relay ? 'client' : verdict.class
    if (!verdict.relay) this.#refuse(this.#status, verdict)
    else if (verdict.seals && this.#mayUnseal) this.#again()
    else this.#tellTheirs(body, brief(readError(text).message) || names.type || `status ${this.#status}`)
  }

  // The client's own error.
  #tellTheirs(body: Buffer, message: string): void {
    const { translated } = this.#way
    this.#by.outcome.error = message
    if (translated) this.#answerWhole(Buffer.from(translated.error(this.#status, body, this.#by.outcome.id)))
    else if (body.length < JUDGED_BYTES || this.#by.down.committed) this.#answerWhole(body)
    else {
      this.#large = this.#concealer.pieces()
      this.#backlog.keep(this.#large.push(body))
      this.#commit()
    }
  }

  get #mayUnseal(): boolean {
    const { proofs, unsealed } = this.#by
    return unsealed !== true && (this.#way.translated !== undefined || proofs.brought.length > 0)
  }

  /** Not the account's fault, nor the client's. */
  #again(): void {
    this.#tried.error = 'refused the proofs of reasoning'
    this.#tried.kind = 'proofs'
    this.#upstream.linger()
    this.#finish()
    this.#done.resolve({
      status: this.#status,
      code: '',
      verdict: declined('server', this.#tried.error),
      stale: false,
      seals: true,
    })
  }

  // No answer in this dialect; the account may be behind a proxy that is not well.
  #broken(reason: string): void {
    this.#tried.cause = 'UPE'
    const elsewhere = this.#status >= 300 || /html/i.test(this.#headers['content-type'] ?? '')
    if (elsewhere) this.#refuse(502, declined('foreign', `${reason}; is the base URL right?`))
    else this.#refuse(502, { ...networkVerdict('EBADANSWER'), reason })
  }

  #refuse(status: number, said: Declined, stale = false, code = ''): void {
    const verdict = { ...said, reason: this.#concealer.text(said.reason) }
    this.#tried.error = verdict.reason
    this.#tried.kind = stale ? 'stale' : verdict.class
    this.#tried.status = status
    this.#upstream?.abort()
    this.#finish()
    this.#done.resolve({ status, code, verdict, stale, seals: false })
  }

  // ---- relaying ----

  #pass(bytes: Buffer): void {
    const meter = this.#meter
    // The stream's last frame is in these bytes: what it cost must be on disk before the client can know that it is done.
    if (meter?.complete) this.#settle()
    if (meter?.ended) {
      const close = this.#rendition!.close()
      this.#endRelay(close.length === 0 ? bytes : Buffer.concat([bytes, close]))
    } else if (bytes.length > 0 && !this.#by.down.write(this.#heard(bytes), this.#rendition?.between))
      this.#upstream.pause()
  }

  /** The client's socket took what it was full of. */
  drained(): void {
    this.#upstream.resume()
  }

  // `rest` is what the client has not seen of it.
  #endRelay(rest: Buffer | undefined): void {
    const meter = this.#meter
    if (meter && !meter.complete && !meter.error) {
      this.#tried.error = 'the stream ended before its last event'
      this.#tried.kind = 'network'
      this.#tried.cause = 'UC'
      this.#break(new Failure('UPSTREAM_BROKE'))
      return
    }
    if (meter?.error) this.#warned(meter.error)
    if (meter?.begun) this.#settle() // else it declined, and that was relayed as it came
    this.#upstream.linger()
    this.#finish()
    this.#by.down.end(rest && this.#heard(rest))
    this.#done.resolve(undefined)
  }

  // An error event comes in one piece, and with it, or after it, what quotes the credential.
  #heard(bytes: Buffer): Buffer {
    return this.#meter?.error ? this.#concealer.bytes(bytes) : bytes
  }

  get #concealer(): Concealer {
    return concealerOf(credentialOf(this.#by.candidate.account))
  }

  // The client has the upstream's own error event; for our books the answer is partial, and the account is warned.
  #warned(error: { type: string; message: string }): void {
    const { call, candidate, gw, outcome } = this.#by
    const message = this.#said(error)
    const verdict = this.#way.platform.judgeEvent(error.type, message, gw.now())
    // Whoever was given half an answer was not turned away: once is bad luck, as with any answer that breaks.
    const held = !verdict.relay && verdict.class === 'overload' ? declined('server', verdict.reason) : verdict
    if (!held.relay) gw.health.refused(candidate.account.id, call.peek.model, held, gw.now())
    this.#tried.kind = held.relay ? 'client' : held.class
    if (!held.relay) this.#tried.cause = 'UR'
    this.#tried.error = outcome.error = message
  }

  #failRelay(error: NodeJS.ErrnoException): void {
    const { down, gw } = this.#by
    if (error.code === 'ECLIENTSTALLED') {
      this.#tried.kind = this.#tried.cause = ''
      down.interrupt(new Failure('CLIENT_GONE', [], { cause: error }))
    }
    // The client has the end already, good or bad; what the connection did after it is of no interest.
    else if (this.#meter?.complete || this.#meter?.error) this.#endRelay(undefined)
    else if (error.code === 'EIDLE')
      this.#break(new Failure('UPSTREAM_IDLE', [formatDuration(gw.config['timeouts.idle'])], { cause: error }))
    else this.#break(new Failure('UPSTREAM_BROKE', [], { cause: error }))
  }

  // The client has seen some of it: it gets a terminal error, never a second answer.
  #break(failure: Failure): void {
    if (this.#meter) this.#settle()
    this.#finish()
    this.#done.reject(failure)
  }

  // A whole answer that has been worked on for so long is paid for, and would be again by whoever were asked next.
  #tooLate(cause: Error): void {
    const failure = new Failure('UPSTREAM_TIMEOUT', [formatDuration(this.#upstream.limit)], { cause })
    this.#settle(failure.status)
    this.#break(failure)
  }

  // ---- the client leaves ----

  interrupted(why: Failure): void {
    if (this.#state === 'over') this.#upstream.abort()
    else if (this.#state === 'draining') this.#leave(true)
    else {
      this.#tried.error ||= why.code === 'CLIENT_GONE' ? 'the client left' : 'shut down'
      // What was sent is paid for, whoever still waits for it. The provider's own errors are not.
      const { bill } = this.#by
      const owed = bill?.settled === false && this.#upstream.sent && this.#status < 400
      if (!owed || why.code !== 'CLIENT_GONE') this.#cut(why, owed && this.#meter?.begun === true)
      else if (bill!.readOnMs === 0 || this.#upstream.over || this.#knowsEnough) this.#cut(why, true)
      else this.#drain(bill!.readOnMs)
    }
  }

  // What the input cost has been told, and more is not read for nobody.
  get #knowsEnough(): boolean {
    const meter = this.#meter
    return this.#by.bill!.stops && meter !== undefined && promptTokens(meter.usage) > 0
  }

  // From here on nobody hears the output; only silence ends it, and the group's patience.
  #drain(withinMs: number): void {
    this.#state = 'draining'
    this.#by.outcome.phase = 'draining'
    this.#backlog.take()
    this.#patience = setTimeout(() => this.#leave(true), withinMs)
    if (this.#rendition) this.#upstream.begun()
    this.#upstream.resume()
  }

  // Nothing is owed for an answer that was a refusal, or broke off before it began, as nothing is when the client is still there.
  // Of a whole answer there is nothing before its end: what is none, or broke off, would have gone to another account.
  get #owed(): boolean {
    const meter = this.#meter
    if (!meter || (meter.error && !meter.begun)) return false
    return this.#streaming ? meter.begun || promptTokens(meter.usage) > 0 : meter.complete
  }

  #leave(owed: boolean): void {
    clearTimeout(this.#patience)
    this.#cut(this.#by.down.interrupted!, owed)
  }

  #cut(why: Failure, owed: boolean): void {
    this.#upstream.abort()
    if (owed) {
      if (this.#state !== 'relaying') this.#rendition?.passEnd()
      this.#settle()
    }
    this.#finish()
    this.#done.reject(why)
  }

  #settle(status = this.#status): void {
    this.#by.bill?.settle(this.#meter, this.#by.down.interrupted?.status ?? status)
  }

  #finish(): void {
    const { down, gw, outcome } = this.#by
    this.#state = 'over'
    this.#tried.endedMs = gw.now() - outcome.at
    down.watcher = undefined
  }
}

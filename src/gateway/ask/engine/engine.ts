// What carries a request to an upstream and its answer back: the face that both engines have.
import type { IncomingHttpHeaders } from 'node:http'
import type { Body } from '../../../dialect/dialect.ts'
import type { Guard } from '../../../lib/guard/guard.ts'
import type { UpstreamRequest } from '../../../platform/platform.ts'

export type { Body }

/** The head of an answer: names in lower case, repeated ones joined as node:http joins them. */
export interface Head {
  readonly status: number
  readonly headers: IncomingHttpHeaders
}

/**
 * Who hears what becomes of a request. None is called before `send` has returned, each but `data` at most once,
 * nothing after `end` or `fail`, and nothing after `abort`. `head` is never that of an interim answer (1xx).
 */
export interface Handler {
  head(head: Head): void
  /** Bytes of the body without their framing. They are the handler's own: nobody writes into them later. */
  data(bytes: Buffer): void
  end(): void
  /**
   * Codes are those of node: ECONNREFUSED, ECONNRESET, EPIPE, ENOTFOUND, of certificates, ERR_INVALID_CHAR for a header
   * that cannot be sent, HPE_… for an answer that is not HTTP/1.1. An upstream that closes too early is ECONNRESET.
   */
  fail(error: NodeJS.ErrnoException): void
}

/** A request under way. */
export interface Controller {
  /** Stops reading. What was read from the socket already may still come. */
  pause(): void
  resume(): void
  /** Ends it at any stage: the connection is closed, the handler hears nothing more. Does nothing when it is over. */
  abort(): void
  /** Its connection had carried a request before: a reset on that, before any answer, says nothing about the upstream. */
  readonly reused: boolean
  /** There is a connection, so the upstream may have the request and bill it. */
  readonly sent: boolean
}

/** Sends requests over HTTP/1.1, keeps connections, and knows no time: limits of silence are others' (silence.ts). */
export interface Engine {
  /** `fresh` asks for a connection that nobody has used. Never throws: what cannot be sent is told to `fail`. */
  send(request: UpstreamRequest, body: Body, handler: Handler, fresh?: boolean): Controller
  /** Closes every connection. */
  close(): void
}

export interface EngineOptions {
  /** kept open to each origin; 0 closes each connection after its answer */
  idleConnections: number
  /** PEM certificates trusted instead of the usual ones */
  ca?: string | Buffer
  /**
   * Where addresses may not be any: what it refuses fails with EGUARD before anything is sent. Behind an egress proxy, which
   * looks names up itself, only what the origin says is judged.
   */
  guard?: Guard | undefined
}

/** Longest head of an answer, and longest trailer, in bytes. */
export const HEAD_BYTES = 64 * 1024

/** As many interim answers (1xx) as a proxy on the way may send while it waits; more is a flood. */
export const INTERIM_HEADS = 100

/** An error as node words it. */
export function failure(code: string, message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(message), { code })
}

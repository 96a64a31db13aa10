// Reads answers of HTTP/1.1 (RFC 9112) from one connection, strictly: what is ambiguous is an error, never a guess.
import type { IncomingHttpHeaders } from 'node:http'
import { failure, HEAD_BYTES, INTERIM_HEADS } from './engine.ts'
import { addHeader, fieldOf, says } from './headers.ts'

/** Who is told what is read. */
export interface Sink {
  head(status: number, headers: IncomingHttpHeaders): void
  data(bytes: Buffer): void
  /** `reusable`: nothing followed the answer, and the upstream keeps the connection open. */
  end(reusable: boolean): void
}

/**
 * idle → head → (length | untilClose | size → … → trailer) → idle. Every state of a chunked body stands for the byte
 * that is awaited, so that a cut anywhere in the framing costs nothing.
 */
const State = {
  idle: 0,
  head: 1,
  length: 2,
  untilClose: 3,
  size: 4,
  extension: 5,
  sizeLf: 6,
  chunk: 7,
  chunkCr: 8,
  chunkLf: 9,
  trailer: 10,
  trailerLine: 11,
  trailerLf: 12,
  lastLf: 13,
}

const CR = 13
const LF = 10
const TAB = 9
const SPACE = 32
const HEAD_END = Buffer.from('\r\n\r\n')
const VERSION = Buffer.from('HTTP/1.')
const EXTENSION_BYTES = 16 * 1024
// 2⁵² bytes, far from where numbers lose count.
const SIZE_DIGITS = 13
// Chunks of one read that are no longer than this are moved together, over the framing between them: one piece then goes
// through the gateway instead of many. What is longer is cheaper to pass on where it is.
const MOVED_BYTES = 2048

export class ResponseReader {
  #state = State.idle
  #bodiless = false
  #reusable = false
  #interim = 0
  #left = 0
  #digits = 0
  /** of extensions and trailers so far */
  #extra = 0
  #heard = false
  #partial: Buffer | undefined
  #partialBytes = 0
  #error: NodeJS.ErrnoException | undefined
  readonly #sink: Sink

  constructor(sink: Sink) {
    this.#sink = sink
  }

  /** An answer is awaited; `bodiless` when it is one to HEAD. */
  begin(bodiless: boolean): void {
    this.#state = State.head
    this.#bodiless = bodiless
    this.#interim = 0
    this.#extra = 0
    this.#heard = false
    this.#error = undefined
  }

  /** The sink hears nothing more, not even of the bytes that are being read. */
  stop(): void {
    this.#state = State.idle
    this.#partial = undefined
    this.#partialBytes = 0
  }

  /** The connection has ended. Gives the error that this is, unless it was the end of the answer. */
  close(): NodeJS.ErrnoException | undefined {
    if (this.#state === State.untilClose) {
      this.#finish(false)
      return undefined
    }
    if (this.#state !== State.head) return failure('ECONNRESET', 'the upstream closed the connection')
    return this.broken(hangUp())
  }

  /** What to tell of a connection that failed: one that had begun a head was not merely closed meanwhile. */
  broken(error: NodeJS.ErrnoException): NodeJS.ErrnoException {
    if (this.#state !== State.head || !this.#heard) return error
    return failure('HPE_INVALID_EOF_STATE', `the head of the answer broke off: ${error.message}`)
  }

  /** Reads what came; gives the error that it is when it is no answer. The bytes are the sink's from now on. */
  read(bytes: Buffer): NodeJS.ErrnoException | undefined {
    const end = bytes.length
    let at = 0
    // Of a chunked body: what is ready to be passed on.
    let from = 0
    let to = 0
    this.#heard = true
    while (at < end) {
      switch (this.#state) {
        case State.head:
          at = this.#readHead(bytes, at)
          break
        case State.length: {
          const take = Math.min(this.#left, end - at)
          this.#left -= take
          this.#sink.data(take === end ? bytes : bytes.subarray(at, at + take))
          at += take
          if (this.#left === 0 && this.#state === State.length) this.#finish(at < end)
          break
        }
        case State.untilClose:
          this.#sink.data(at === 0 ? bytes : bytes.subarray(at))
          return undefined
        case State.chunk: {
          const take = Math.min(this.#left, end - at)
          if (from === to) {
            from = at
            to = at + take
          } else if (take <= MOVED_BYTES) {
            bytes.copyWithin(to, at, at + take)
            to += take
          } else {
            this.#sink.data(bytes.subarray(from, to))
            if (this.#state !== State.chunk) return undefined
            from = at
            to = at + take
          }
          at += take
          this.#left -= take
          if (this.#left === 0) this.#state = State.chunkCr
          break
        }
        case State.idle:
          // It has ended, here or by what the sink did on hearing of it.
          return this.#takeError()
        default: {
          at = this.#readFraming(bytes, at)
          if (this.#state !== State.idle) break
          // The last chunk has been read, or nonsense: what came before it is still part of the answer.
          this.#state = State.lastLf
          if (to > from) this.#sink.data(bytes.subarray(from, to))
          if (this.#state !== State.lastLf) return undefined
          if (this.#error === undefined) this.#finish(at < end)
          else this.#state = State.idle
          return this.#takeError()
        }
      }
    }
    if (to > from) this.#sink.data(bytes.subarray(from, to))
    return this.#takeError()
  }

  #takeError(): NodeJS.ErrnoException | undefined {
    const error = this.#error
    this.#error = undefined
    return error
  }

  // The state is set first: on hearing of the end the sink may begin the next answer.
  #finish(more: boolean): void {
    this.#state = State.idle
    this.#sink.end(this.#reusable && !more)
  }

  #broken(code: string, message: string): void {
    this.stop()
    this.#error = failure(code, message)
  }

  #readHead(bytes: Buffer, at: number): number {
    const before = this.#partialBytes
    if (before === 0) {
      const found = bytes.indexOf(HEAD_END, at)
      if (found >= 0 && found - at <= HEAD_BYTES) {
        this.#parse(bytes.toString('latin1', at, found + 2))
        if (this.#error === undefined) this.#ended(bytes.length > found + 4)
        return found + 4
      }
    }
    // A head in pieces is copied into one place.
    const take = Math.min(bytes.length - at, HEAD_BYTES + 4 - before)
    const partial = this.#room(before + take)
    bytes.copy(partial, before, at, at + take)
    this.#partialBytes += take
    for (let i = before; i < VERSION.length && i < this.#partialBytes; i++)
      if (partial[i] !== VERSION[i]) {
        this.#broken('HPE_INVALID_CONSTANT', 'Parse Error: Expected HTTP/')
        return at
      }
    const found = partial.subarray(0, this.#partialBytes).indexOf(HEAD_END, Math.max(0, before - 3))
    if (found < 0) {
      // Lines that end otherwise would be awaited for ever.
      for (let i = before; i < this.#partialBytes; i++)
        if (partial[i] === LF && partial[i - 1] !== CR) {
          this.#broken('HPE_INVALID_HEADER_TOKEN', 'Parse Error: Missing expected CR')
          return at
        }
      if (this.#partialBytes >= HEAD_BYTES) this.#broken('HPE_HEADER_OVERFLOW', 'Parse Error: Header overflow')
      return at + take
    }
    this.#partial = undefined
    this.#partialBytes = 0
    const next = at + found + 4 - before
    this.#parse(partial.toString('latin1', 0, found + 2))
    if (this.#error === undefined) this.#ended(bytes.length > next)
    return next
  }

  #room(bytes: number): Buffer {
    const had = this.#partial
    if (had && had.length >= bytes) return had
    const room = Buffer.allocUnsafe(Math.max(1024, bytes * 2))
    had?.copy(room, 0, 0, this.#partialBytes)
    this.#partial = room
    return room
  }

  // An answer without a body ends with its head.
  #ended(more: boolean): void {
    if (this.#state === State.length && this.#left === 0) this.#finish(more)
  }

  // `text` is a head with the line end of its last line, without the empty line.
  #parse(text: string): void {
    const minor = text.charCodeAt(7) - 48
    const status = (text.charCodeAt(9) - 48) * 100 + (text.charCodeAt(10) - 48) * 10 + (text.charCodeAt(11) - 48)
    if (!statusLine.test(text)) {
      this.#broken('HPE_INVALID_CONSTANT', 'Parse Error: this is no status line of HTTP/1.1')
      return
    }
    if (unreadable.test(text)) {
      this.#broken('HPE_INVALID_HEADER_TOKEN', 'Parse Error: Invalid header value char')
      return
    }
    const headers: IncomingHttpHeaders = {}
    for (let at = text.indexOf('\r\n') + 2; at < text.length; ) {
      const end = text.indexOf('\r\n', at)
      const colon = text.indexOf(':', at)
      const field = colon > at && colon < end ? fieldOf(text.slice(at, colon)) : undefined
      if (!field) {
        // Among these are folded lines and a space before the colon: others read them otherwise than we would.
        this.#broken('HPE_INVALID_HEADER_TOKEN', 'Parse Error: Invalid header token')
        return
      }
      let from = colon + 1
      let to = end
      while (from < to && isSpace(text.charCodeAt(from))) from++
      while (to > from && isSpace(text.charCodeAt(to - 1))) to--
      if (!addHeader(headers, field, text.slice(from, to))) {
        this.#broken('HPE_UNEXPECTED_CONTENT_LENGTH', 'Parse Error: Content-Length already present')
        return
      }
      at = end + 2
    }
    if (status < 200) this.#passInterim(status)
    else this.#frame(status, minor, headers)
  }

  #passInterim(status: number): void {
    if (status === 101) this.#broken('EBADANSWER', 'the upstream switched protocols')
    else if (++this.#interim > INTERIM_HEADS) this.#broken('EBADANSWER', 'interim answers and no end of them')
  }

  // How long the body is: RFC 9112 §6.3, without the guesses it allows.
  #frame(status: number, minor: number, headers: IncomingHttpHeaders): void {
    const length = headers['content-length']
    const coding = headers['transfer-encoding']
    this.#left = 0
    this.#state = State.length
    this.#reusable = minor === 1 && !says(headers.connection, 'close')
    if (coding !== undefined) {
      if (length !== undefined || minor === 0 || coding.toLowerCase() !== 'chunked') {
        this.#broken('HPE_INVALID_TRANSFER_ENCODING', 'Parse Error: Invalid Transfer-Encoding')
        return
      }
      this.#digits = 0
      this.#state = State.size
    } else if (length !== undefined) {
      if (!decimal.test(length)) {
        this.#broken('HPE_INVALID_CONTENT_LENGTH', 'Parse Error: Invalid character in Content-Length')
        return
      }
      this.#left = Number(length)
    } else this.#state = State.untilClose
    if (this.#bodiless || status === 204 || status === 304) {
      this.#left = 0
      this.#state = State.length
    } else if (this.#state === State.untilClose) this.#reusable = false
    this.#sink.head(status, headers)
  }

  // What surrounds the chunks. The state is idle when the body has ended, well or not.
  #readFraming(bytes: Buffer, from: number): number {
    let at = from
    while (at < bytes.length) {
      const byte = bytes[at++]!
      switch (this.#state) {
        case State.size: {
          const digit = hex(byte)
          if (digit >= 0 && ++this.#digits <= SIZE_DIGITS) this.#left = this.#left * 16 + digit
          else if (digit >= 0 || this.#digits === 0 || (byte !== CR && byte !== 59)) return this.#badChunk(at)
          else this.#state = byte === CR ? State.sizeLf : State.extension
          break
        }
        case State.extension:
          if (byte === CR) this.#state = State.sizeLf
          else if (!isText(byte)) return this.#badChunk(at)
          else if (++this.#extra > EXTENSION_BYTES) {
            this.#broken('HPE_CHUNK_EXTENSIONS_OVERFLOW', 'Parse Error: Chunk extensions overflow')
            return at
          }
          break
        case State.sizeLf:
          if (byte !== LF) return this.#badChunk(at)
          this.#digits = 0
          if (this.#left > 0) {
            this.#state = State.chunk
            return at
          }
          this.#extra = 0
          this.#state = State.trailer
          break
        case State.chunkCr:
          if (byte !== CR) return this.#badChunk(at)
          this.#state = State.chunkLf
          break
        case State.chunkLf:
          if (byte !== LF) return this.#badChunk(at)
          this.#state = State.size
          break
        case State.trailer:
          this.#state = byte === CR ? State.lastLf : State.trailerLine
          if (byte !== CR && (!isText(byte) || isSpace(byte))) return this.#badChunk(at)
          this.#extra++
          break
        case State.trailerLine:
          if (byte === CR) this.#state = State.trailerLf
          else if (!isText(byte)) return this.#badChunk(at)
          else if (++this.#extra > HEAD_BYTES) {
            this.#broken('HPE_HEADER_OVERFLOW', 'Parse Error: Header overflow')
            return at
          }
          break
        case State.trailerLf:
          if (byte !== LF) return this.#badChunk(at)
          this.#state = State.trailer
          break
        case State.lastLf:
          if (byte !== LF) return this.#badChunk(at)
          this.#state = State.idle
          return at
      }
    }
    return at
  }

  #badChunk(at: number): number {
    this.#broken('HPE_INVALID_CHUNK_SIZE', 'Parse Error: Invalid character in chunk size')
    return at
  }
}

/** What node:http says of a connection that closed without a word. */
export function hangUp(): NodeJS.ErrnoException {
  return failure('ECONNRESET', 'socket hang up')
}

const statusLine = /^HTTP\/1\.[01] [1-9]\d\d[ \r]/
// A control character, or half a line end.
const unreadable = /[^\t\r\n\x20-\x7e\x80-\xff]|\r(?!\n)|(?<!\r)\n/
const decimal = /^\d{1,15}$/

const isSpace = (byte: number) => byte === SPACE || byte === TAB
const isText = (byte: number) => byte === TAB || (byte >= SPACE && byte !== 127)

function hex(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const letter = byte | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : -1
}

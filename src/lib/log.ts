// The log: structured lines with secrets taken out; pretty on a terminal, with levels under journald.
import { createRequire } from 'node:module'
import pino, { type DestinationStream, type Logger, type LoggerOptions } from 'pino'
import { scrub } from './credentials.ts'
import { LogOut, stdoutSink, type Unread } from './log-out.ts'
import { Recent } from './recent.ts'

export type LogFormat = 'auto' | 'pretty' | 'json' | 'journald'

// The keys under which a secret could ever reach a log line; values are replaced, never cut.
const paths = [
  'authorization',
  'x-api-key',
  'x-goog-api-key',
  'cookie',
  'set-cookie',
  'proxy-authorization',
  'api_key',
  'secret',
  'private_key',
  'credential',
  'token',
  'password',
  'client_secret',
  'refresh_token',
  'access_token',
]
const redact = {
  paths: paths.flatMap(p => (p.includes('-') ? [`["${p}"]`, `*["${p}"]`] : [p, `*.${p}`])),
  censor: '[redacted]',
}

// A sentence may quote what somebody else said.
const hooks: NonNullable<LoggerOptions['hooks']> = {
  logMethod(given, method) {
    method.apply(this, given.map(one => (typeof one === 'string' ? scrub(one) : one)) as typeof given)
  },
}

export interface Log {
  log: Logger
  /** For lines made of our own scalars only, a line a request: without redaction, which costs as much as the request. */
  access: Logger
  /** Where such a line goes that is a finished string already; undefined where the format makes something else of it. */
  lines?: Lines | undefined
  /** The latest lines as they were written, for `gw logs`. */
  recent?: Recent
  /** what whoever reads the log has not taken; undefined: it goes to no descriptor */
  unread?: () => Unread
  /** Empties the buffer, as far as somebody takes it within half a second; `urgent`: a tenth. Call it last, before the process ends. */
  flush(urgent?: boolean): Promise<void>
}

/** Writes lines as the logger would, from fields that are JSON already: `"status":200,"ms":12`. Levels are the caller's to look at. */
export interface Lines {
  write(level: 'info' | 'warn', fields: string, message: string): void
}

/** The process's logger. `out` is stdout unless given; then the format must not be `pretty`. */
export function createLog(options: {
  level: string
  format: LogFormat
  env?: NodeJS.ProcessEnv
  out?: DestinationStream
}): Log {
  const env = options.env ?? process.env
  const format =
    options.format === 'auto'
      ? process.stdout.isTTY
        ? 'pretty'
        : env['JOURNAL_STREAM']
          ? 'journald'
          : 'json'
      : options.format
  const recent = new Recent(KEPT)
  const make = (more: LoggerOptions, to: DestinationStream) => {
    const base = { level: options.level, base: null, ...more }
    const out = keeping(recent, to)
    return { recent, log: pino({ ...base, redact, hooks }, out), access: pino(base, out) }
  }
  const plain = (out: DestinationStream) =>
    format === 'journald'
      ? { ...make({ timestamp: false }, journald(out)), lines: journaldLines(keeping(recent, out)) }
      : { ...make({ timestamp: pino.stdTimeFunctions.isoTime }, out), lines: jsonLines(keeping(recent, out)) }
  if (options.out) return { ...plain(options.out), async flush() {} }
  const told = (lines: number) =>
    made.log.warn(`log: ${lines} line${lines === 1 ? ' is' : 's are'} not in it, whoever reads it stood still`)
  // Elsewhere a line a request must not cost a system call a request; at a terminal somebody is looking.
  const out = new LogOut(stdoutSink(), { told, ...(format === 'pretty' && { worth: 1 }) })
  const made = format === 'pretty' ? make({}, prettified(out)) : plain(out)
  return { ...made, unread: () => out.state(), flush: urgent => out.flush(urgent ? FLUSH_MS / 5 : FLUSH_MS) }
}

// What a reader that is there takes in at the end.
const FLUSH_MS = 500

function prettified(out: DestinationStream): DestinationStream {
  const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty')
  const pretty = prettyFactory({ translateTime: 'SYS:HH:MM:ss.l', ignore: 'pid,hostname' })
  return { write: line => out.write(pretty(line)) }
}

// About an hour of a node with little traffic, and a minute of a busy one.
const KEPT = { lines: 20_000, bytes: 8 * 1024 * 1024 }

function keeping(recent: Recent, out: DestinationStream): DestinationStream {
  // pino tells a stream of this kind the level, which journald wants.
  if (Symbol.for('pino.metadata') in out) {
    const write = out.write.bind(out)
    return Object.assign(out, {
      write(line: string) {
        recent.push(Date.now(), line)
        write(line)
      },
    })
  }
  return {
    write(line: string) {
      recent.push(Date.now(), line)
      out.write(line)
    },
  }
}

/** A string as JSON. Most names have nothing to be escaped, and looking is cheaper than stringifying. */
export function quote(text: string): string {
  return escaping.test(text) ? JSON.stringify(text) : `"${text}"`
}

// All but what stands in JSON as it is: control characters, `"`, `\\` and surrogates, of which a lone one is nothing that UTF-8 could write.
const escaping = /[^ !#-[\]-\ud7ff\ue000-\uffff]/

const levels = { info: 30, warn: 40 } as const

function jsonLines(out: DestinationStream): Lines {
  let at = 0
  let time = ''
  return {
    write(level, fields, message) {
      const now = Date.now()
      if (now !== at) time = new Date((at = now)).toISOString()
      out.write(`{"level":${levels[level]},"time":"${time}",${fields},"msg":"${message}"}\n`)
    },
  }
}

function journaldLines(out: DestinationStream): Lines {
  return {
    write(level, fields, message) {
      out.write(`<${priority(levels[level])}>{"level":${levels[level]},${fields},"msg":"${message}"}\n`)
    },
  }
}

// sd-daemon(3): a line that begins with <n> has that priority.
const priority = (level: number) => (level >= 60 ? 2 : level >= 50 ? 3 : level >= 40 ? 4 : level >= 30 ? 6 : 7)

function journald(out: DestinationStream): DestinationStream {
  const stream = {
    lastLevel: 30,
    [Symbol.for('pino.metadata')]: true,
    write(line: string) {
      out.write(`<${priority(stream.lastLevel)}>${line}`)
    },
  }
  return stream
}

// The log: structured lines with secrets taken out; pretty on a terminal, with levels under journald.
import { createRequire } from 'node:module'
import pino, { type DestinationStream, type Logger, type LoggerOptions } from 'pino'

export type LogFormat = 'auto' | 'pretty' | 'json' | 'journald'

// The keys under which a secret could ever reach a log line; values are replaced, never cut.
const paths = [
  'authorization',
  'x-api-key',
  'x-goog-api-key',
  'cookie',
  'api_key',
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

export interface Log {
  log: Logger
  /** For lines made of our own scalars only, a line a request: without redaction, which costs as much as the request. */
  access: Logger
  /** Empties the buffer: call it last, before the process ends. */
  flush(): Promise<void>
}

/** The process's logger, writing to stdout. */
export function createLog(options: { level: string; format: LogFormat; env?: NodeJS.ProcessEnv }): Log {
  const env = options.env ?? process.env
  const format =
    options.format === 'auto'
      ? process.stdout.isTTY
        ? 'pretty'
        : env['JOURNAL_STREAM']
          ? 'journald'
          : 'json'
      : options.format
  const make = (more: LoggerOptions, out: DestinationStream) => {
    const base = { level: options.level, base: null, ...more }
    return { log: pino({ ...base, redact }, out), access: pino(base, out) }
  }
  if (format === 'pretty') {
    const pretty = createRequire(import.meta.url)('pino-pretty') as (o: object) => DestinationStream
    const out = pretty({ sync: true, translateTime: 'SYS:HH:MM:ss.l', ignore: 'pid,hostname' })
    return { ...make({}, out), async flush() {} }
  }
  // Buffered: a line a request must not cost a system call a request. At most a second old.
  const out = pino.destination({ fd: 1, sync: false, minLength: 8 * 1024, periodicFlush: 1000 })
  // Not flushSync: it tries for ever when whoever read our output is gone.
  const flush = () =>
    new Promise<void>(resolve => {
      const timer = setTimeout(resolve, 1000)
      const done = () => {
        clearTimeout(timer)
        resolve()
      }
      out.once('close', done).once('error', done)
      out.end()
    })
  out.on('error', () => {}) // nobody is left to be told
  if (format === 'journald') return { ...make({ timestamp: false }, journald(out)), flush }
  return { ...make({ timestamp: pino.stdTimeFunctions.isoTime }, out), flush }
}

const secretShapes =
  /\b(sk-[a-z-]*)[A-Za-z0-9_-]{12,}|\b(key|api_key|token|access_token|refresh_token|client_secret|code|state|password)=[^&\s"']+/gi

/** Free text, an upstream's error say, without what looks like a key or a secret parameter (spec/domain.md §12.12). */
export function scrub(text: string): string {
  return text.replace(secretShapes, (_all, key?: string, parameter?: string) =>
    key !== undefined ? `${key}***` : `${parameter}=***`,
  )
}

// sd-daemon(3): a line that begins with <n> has that priority.
function journald(out: DestinationStream): DestinationStream {
  const priority = (level: number) => (level >= 60 ? 2 : level >= 50 ? 3 : level >= 40 ? 4 : level >= 30 ? 6 : 7)
  const stream = {
    lastLevel: 30,
    [Symbol.for('pino.metadata')]: true,
    write(line: string) {
      out.write(`<${priority(stream.lastLevel)}>${line}`)
    },
  }
  return stream
}

// The log: structured lines with secrets taken out; pretty on a terminal, with levels under journald.
import { createRequire } from 'node:module'
import pino, { type DestinationStream, type Logger } from 'pino'

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

/** The process's logger, writing to stdout. `flush` empties its buffer: call it before the process ends. */
export function createLog(options: { level: string; format: LogFormat; env?: NodeJS.ProcessEnv }): {
  log: Logger
  flush(): void
} {
  const env = options.env ?? process.env
  const format =
    options.format === 'auto'
      ? process.stdout.isTTY
        ? 'pretty'
        : env['JOURNAL_STREAM']
          ? 'journald'
          : 'json'
      : options.format
  const base = { level: options.level, base: null, redact }
  if (format === 'pretty') {
    const pretty = createRequire(import.meta.url)('pino-pretty') as (o: object) => DestinationStream
    return {
      log: pino(base, pretty({ sync: true, translateTime: 'SYS:HH:MM:ss.l', ignore: 'pid,hostname' })),
      flush() {},
    }
  }
  // Buffered: a line a request must not cost a system call a request. At most a second old.
  const out = pino.destination({ fd: 1, sync: false, minLength: 16 * 1024, periodicFlush: 1000 })
  const flush = () => {
    try {
      out.flushSync()
    } catch {
      // Not opened yet, or the pipe is gone: nothing left to tell.
    }
  }
  if (format === 'journald') return { log: pino({ ...base, timestamp: false }, journald(out)), flush }
  return { log: pino({ ...base, timestamp: pino.stdTimeFunctions.isoTime }, out), flush }
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

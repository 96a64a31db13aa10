// The access log's line: what pino makes of the same fields, in each format, whatever names and errors are made of.
import type { Logger } from 'pino'
import t from 'tap'
import { causeOf } from '../../src/core/errors/cause.ts'
import { Outcome } from '../../src/core/outcome.ts'
import { accessLog } from '../../src/daemon/access.ts'
import { scrub } from '../../src/lib/credentials.ts'
import { Failure } from '../../src/lib/failure.ts'
import { createLog, quote } from '../../src/lib/log.ts'
import { dice } from '../core/usage-books.ts'

/** The same line by pino alone, from an object. */
function byPino(log: Logger, o: Outcome): void {
  log[o.status >= 500 ? 'warn' : 'info'](
    {
      request_id: o.id,
      method: o.method,
      path: cut(o.path, 1000),
      status: o.status,
      ms: o.durationMs,
      ...(o.firstTokenMs > 0 ? { first_token_ms: o.firstTokenMs } : {}),
      ...(o.waitedMs > 0 ? { queued_ms: o.waitedMs } : {}),
      ip: o.ip,
      ...(o.keyId ? { user: o.user, key: o.key } : {}),
      ...(o.model ? { model: cut(o.model, 200) } : {}),
      ...(o.account !== null ? { account: o.account } : {}),
      ...(o.attempts.length > 1
        ? { attempts: o.attempts.map(a => `${a.account}: ${cut(scrub(a.error), 1000) || a.status}`) }
        : {}),
      ...(o.metered && o.status < 400
        ? {
            in: o.usage.input + o.usage.cacheRead,
            out: o.usage.output,
            ...(o.usage.cacheRead > 0 ? { cached: o.usage.cacheRead } : {}),
          }
        : {}),
      ...(causeOf(o) === '-' ? {} : { cause: causeOf(o) }),
      ...(o.code ? { code: o.code } : {}),
      ...(o.error ? { error: cut(scrub(o.error), 1000) } : {}),
    },
    'request',
  )
}

const cut = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text)

const odd = [
  'alice',
  '',
  'a "quoted" name',
  'back\\slash',
  'two\nlines\r\n\tand\u0000more\u001f',
  'Zoë 日本語 🦊',
  'lone \ud83e and \udd8a',
  '\u007f\u2028\u2029</script>',
  'x'.repeat(150) + '"',
  `long ${'日'.repeat(120)} \ud800`,
  `longer ${'y'.repeat(1500)}`,
]

t.test('a string is what JSON makes of it', async t => {
  for (const text of odd) t.equal(quote(text), JSON.stringify(text))
  for (let code = 0; code < 0x1_0000; code++) {
    const text = `a${String.fromCharCode(code)}b`
    if (quote(text) !== JSON.stringify(text)) t.equal(quote(text), JSON.stringify(text), `code unit ${code}`)
  }
})

/** Outcomes of every kind, with names of every kind. */
function outcomes(): Outcome[] {
  const random = dice(29)
  const pick = <T>(...of: T[]): T => of[Math.floor(random() * of.length)]!
  const errors = [...odd, 'key sk-ant-api03-AAAAAAAAAAAAAAAA is bad', 'at https://x/?token=s3cret&a=1', 'overloaded']
  return Array.from({ length: 600 }, () => {
    const o = new Outcome({
      id: '01935b1e-7d1f-7abc-8def-0123456789ab',
      at: 0,
      method: pick('POST', 'GET', 'M"'),
      path: pick('/v1/messages', '/v1/"é\\', '/%00', `/${'x'.repeat(2000)}`),
      ip: pick('127.0.0.1', '::ffff:10.0.0.1', ''),
    })
    o.status = pick(200, 200, 400, 429, 499, 500, 503)
    o.durationMs = pick(0, 17, 12_345)
    o.firstTokenMs = pick(0, 5)
    o.waitedMs = pick(0, 0, 250)
    o.usage.cacheRead = pick(0, 0, 4000)
    o.keyId = pick(0, 7)
    o.user = pick(...odd)
    o.key = pick(...odd)
    o.model = pick(...odd)
    for (let n = pick(0, 1, 2, 3); n > 0; n--)
      Object.assign(o.attempt({ id: n, name: pick(...odd) }, 0), { status: pick(0, 529), error: pick(...errors) })
    o.metered = pick(true, false)
    o.usage.input = pick(0, 1_000_000)
    o.usage.output = pick(0, 64)
    if (o.status >= 400) {
      o.failure = new Failure(pick('QUEUE_FULL', 'CLIENT_GONE', 'INTERNAL_ERROR', 'UPSTREAM_UNAVAILABLE'))
      o.error = pick(...errors)
    }
    return o
  })
}

/** Lines as they come. */
function capture() {
  const lines: string[] = []
  return { lines, out: { write: (line: string) => void lines.push(line) } }
}

const timeless = (line: string) => line.replace(/"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/, '"time":""')

for (const format of ['json', 'journald'] as const)
  t.test(`${format}: the same fields in the same order`, async t => {
    const { lines, out } = capture()
    const logging = createLog({ level: 'info', format, out })
    const fold = accessLog(logging)
    for (const o of outcomes()) {
      lines.length = 0
      byPino(logging.access, o)
      fold.ended(o)
      const [expected, line] = lines.map(timeless) as [string, string]
      const [prefix, text] = [line.slice(0, line.indexOf('{')), line.slice(line.indexOf('{'))]
      const theirs = expected.slice(expected.indexOf('{'))
      if (prefix !== expected.slice(0, expected.indexOf('{'))) t.equal(line, expected)
      const [given, wanted] = [JSON.parse(text), JSON.parse(theirs)] as [object, object]
      if (JSON.stringify(given) !== JSON.stringify(wanted)) t.strictSame(given, wanted)
      if (!text.endsWith('}\n') || text.indexOf('\n') !== text.length - 1) t.equal(text, theirs, 'one line')
    }
    t.equal(lines.length, 2)
    t.match(lines[1], format === 'json' ? /^{"level":[34]0,"time":"2/ : /^<[46]>{"level":[34]0,"request_id":/)
  })

t.test('a format that has no finished lines gets the same fields', async t => {
  const { lines, out } = capture()
  const { access } = createLog({ level: 'info', format: 'json', out })
  const fold = accessLog({ access, lines: undefined })
  for (const o of outcomes()) {
    lines.length = 0
    byPino(access, o)
    fold.ended(o)
    if (timeless(lines[0]!) !== timeless(lines[1]!)) t.equal(timeless(lines[1]!), timeless(lines[0]!))
  }
  t.equal(lines.length, 2)
})

t.test('what is less severe than log.level is not written', async t => {
  const { lines, out } = capture()
  const logging = createLog({ level: 'warn', format: 'json', out })
  const fold = accessLog(logging)
  for (const o of outcomes()) fold.ended(o)
  t.ok(lines.length > 100)
  t.ok(lines.every(line => (JSON.parse(line) as { level: number }).level === 40))
})

// gw logs: a running daemon's latest lines, a file's, and the expression that picks among them.
import t from 'tap'
import { parsed } from '../../src/cli/logs/logs.ts'
import { parseWhere } from '../../src/cli/logs/where.ts'
import { controlServer } from '../../src/control/server.ts'
import type { LogsAsked } from '../../src/control/view.ts'
import { logsView } from '../../src/daemon/views/logs.ts'
import { createLog } from '../../src/lib/log.ts'
import { Recent } from '../../src/lib/recent.ts'
import { until } from '../helpers/gateway.ts'
import { home } from './gw.ts'

const lines = [
  '{"level":30,"time":"2026-11-28T10:00:00.000Z","request_id":"r1","path":"/v1/messages","status":200,"ms":1200,"user":"alice","model":"claude-sonnet-5-5","account":"a1","msg":"request"}',
  '{"level":40,"time":"2026-11-28T10:00:01.000Z","request_id":"r2","path":"/v1/messages","status":503,"ms":45000,"user":"bob","account":"a7","attempts":["a1: overloaded","a7: no answer"],"cause":"UT,URX","code":"UPSTREAM_UNAVAILABLE","error":"it is \\"away\\"","msg":"request"}',
  '<6>{"level":30,"request_id":"r3","path":"/v1/models","status":401,"ms":1,"cause":"UAEX","code":"INVALID_API_KEY","msg":"request"}',
  'Started gw.service.',
]

t.test('an expression picks lines', async t => {
  const picked = (expression: string) => {
    const where = parseWhere(expression)
    return lines.flatMap((text, i) => (where(parsed(text)) ? [i + 1] : []))
  }
  const cases: [string, number[]][] = [
    ['', [1, 2, 3, 4]],
    ['status>=500', [2]],
    ['status >= 400 and account=a7', [2]],
    ['status=200 or code=INVALID_API_KEY', [1, 3]],
    ['status=200 or status=503 and user=alice', [1]],
    ['(status=200 or status=503) and not user=alice', [2]],
    ['cause', [2, 3]],
    ['not cause', [1, 4]],
    ['cause~ut', [2]],
    ['attempts ~ "no answer"', [2]],
    ['ms>1000', [1, 2]],
    ['ms<=1.5', [3]],
    ['status~50', [2]],
    ['level=warn', [2]],
    ['level>info', [2]],
    ['account!=a7', [1, 3, 4]],
    ['model=claude-sonnet-5-5', [1]],
    ['path=/v1/models', [3]],
    [`error='it is "away"'`, [2]],
    ['error="it is \\"away\\""', [2]],
    ['time>=2026-11-28T10:00:01', [2]],
    ['msg~started', [4]],
    ['NOT status<9999 AND msg~gw', [4]],
  ]
  for (const [expression, expected] of cases) t.strictSame(picked(expression), expected, expression)
})

t.test('what is wrong with one is told with its place', async t => {
  const cases: [string, string][] = [
    ['stauts>=500', 'no field "stauts"; did you mean "status"? (there are'],
    ['status>=', 'a value is expected after status>=, it ends, at position 9\n'],
    ['status>= and ms>1', 'status is a number, got "and", at position 10\n'],
    ['(status=1', 'a ")" is missing for the "(" at 1, it ends, at position 10\n'],
    ['status=1 ms=2', '"and" or "or" is expected, got "ms", at position 10\n'],
    ['user="x', 'a text without its end at position 6\n  user="x\n       ^'],
    ['level=loud', 'level is one of trace debug info warn error fatal, got "loud", at position 7\n'],
    ['status=1 or', 'a field is expected, it ends, at position 12\n'],
    ['status>=40x', 'status is a number, got "40x", at position 9\n'],
    ['user=a and ms>30s', 'ms is a number, got "30s", at position 15\n'],
    ['status = ! 3', '"!" means nothing at position 10\n'],
    [')', 'a field is expected, got ")", at position 1\n'],
  ]
  for (const [expression, words] of cases) {
    try {
      parseWhere(expression)
      t.fail(`${expression} is taken`)
    } catch (error) {
      t.ok((error as Error).message.includes(words), `${expression}: ${(error as Error).message}`)
    }
  }
})

t.test('of a file, or of what a journal kept', async t => {
  const { gw, file } = await home(t)
  const log = await file('gw.log', `${lines.join('\n')}\n`)
  const { stdout, code } = await gw(['logs', '--file', log, '--where', 'status>=400'])
  t.strictSame(
    [code, stdout.split('\n')[0]],
    [
      0,
      '2026-11-28 10:00:01.000  warn  request  request_id=r2  path=/v1/messages  status=503  ms=45000  user=bob  account=a7  attempts=["a1: overloaded","a7: no answer"]  cause=UT,URX  code=UPSTREAM_UNAVAILABLE  error=it is "away"',
    ],
  )
  const one = await gw(['logs', '--file', '-', '--json', '--limit', '1', '--where', 'request_id'], {
    stdin: lines.join('\n'),
  })
  t.equal(JSON.parse(one.stdout).request_id, 'r3')
  t.match(
    (await gw(['logs', '--file', '/nowhere'])).stderr,
    /^gw: --file \/nowhere cannot be read: no such file or directory\n$/,
  )
  t.match((await gw('logs')).stderr, /no gw daemon answers/)
})

t.test('of a running daemon, and on as they come', async t => {
  const { gw, dataDir, spawned } = await home(t)
  const { mkdir } = await import('node:fs/promises')
  await mkdir(dataDir, { recursive: true })
  const written: string[] = []
  const { log, recent } = createLog({
    level: 'info',
    format: 'journald',
    out: { write: line => void written.push(line) },
  })
  const control = await controlServer(`${dataDir}/gw.sock`, 0o600, {
    'POST /logs': body => logsView(recent, body as LogsAsked),
  })
  for (let n = 0; n < 2500; n++) log.info({ status: 200 + (n % 2) }, `line ${n}`)
  log.warn({ token: 'sk-secret' }, 'with a secret')
  const { stdout } = await gw(['logs', '--where', 'status=201'])
  t.equal(stdout.split('\n').length, 1251, 'stretch by stretch, all of them')
  t.match(stdout, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} {2}info {2}line 1 {2}status=201\n/)
  t.match((await gw(['logs', '--limit', '1'])).stdout, /warn {2}with a secret {2}token=\[redacted\]/)
  t.equal((await gw(['logs', '--since', '2099-01-01'])).stdout, '')
  let child: { kill(signal: NodeJS.Signals): boolean; stdout: NodeJS.ReadableStream | null } | undefined
  const following = spawned(['logs', '-f', '--limit', '1', '--where', 'msg~later'], { started: c => (child = c) })
  let seen = ''
  child!.stdout!.on('data', chunk => (seen += chunk))
  let n = 0
  await until(t, 'it comes', () => {
    log.info(`later ${n++}`)
    return seen.split('\n').length > 3
  })
  await control.close()
  const next = createLog({ level: 'info', format: 'journald', out: { write: () => {} } })
  next.log.info('later, from the next daemon')
  const again = await controlServer(`${dataDir}/gw.sock`, 0o600, {
    'POST /logs': body => logsView(next.recent, body as LogsAsked),
  })
  t.teardown(() => again.close())
  await until(t, 'and goes on with the next daemon', () => seen.includes('from the next daemon'))
  t.equal(seen.split('from the next daemon').length, 2, 'each line once')
  child!.kill('SIGINT')
  t.equal((await following).code, 130)
})

t.test('no more is kept than may be', async t => {
  const recent = new Recent({ lines: 3, bytes: 10 })
  for (const text of ['a', 'b', 'c', 'd']) recent.push(1, text)
  t.strictSame(
    recent.from(0, 0, 10).map(({ number, text }) => [number, text]),
    [
      [1, 'b'],
      [2, 'c'],
      [3, 'd'],
    ],
  )
  recent.push(5, 'x'.repeat(9))
  t.strictSame(
    [recent.size, recent.next],
    [1, 5],
    'a line is in one piece: what would be cut in two begins at the front',
  )
  t.strictSame(recent.from(0, 5, 10).length, 1)
  recent.push(6, 'y'.repeat(100))
  t.strictSame(recent.from(0, 0, 10), [{ number: 5, at: 6, text: 'y'.repeat(10) }], 'the last one as far as it fits')
  for (let n = 0; n < 20_000; n++) recent.push(n, 'z')
  t.strictSame([recent.size, recent.next, recent.from(20_004, 0, 10).length], [3, 20_006, 2])
})

t.test('the latest lines are whole, in whatever order long and short ones come', t => {
  const most = { lines: 20, bytes: 200 }
  const recent = new Recent(most)
  const all: string[] = []
  for (let n = 0; n < 2_000; n++) {
    const text = `${n} ${['ä', '€', 'x', '🙂'][n % 4]!.repeat((n * 7919) % 23)}`
    all.push(text)
    recent.push(n, text)
    const kept = recent.from(0, 0, 100)
    t.ok(kept.length > 0 && kept.length <= most.lines)
    const bytes = kept.reduce((sum, line) => sum + Buffer.byteLength(line.text), 0)
    if (bytes > most.bytes || (n > 100 && kept.length < most.lines && bytes < most.bytes / 2)) t.fail(`${bytes} bytes`)
    for (const { number, at, text } of kept)
      if (text !== all[number] || at !== number) t.equal(text, all[number], `line ${number} of ${n}`)
    if (kept.at(-1)!.number !== n) t.fail(`the last of ${n} is missing`)
  }
  t.end()
})

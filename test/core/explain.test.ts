// What gw explain reads from: files of lines that survive a kill, age by no clock that can be set, and hurt nobody when the disk is full.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import { explain } from '../../src/core/explain/explain.ts'
import { explainFolder } from '../../src/core/explain/files.ts'
import { latest } from '../../src/core/explain/latest.ts'
import { explainLine } from '../../src/core/explain/line.ts'
import { openRecorder, type RecorderOptions } from '../../src/core/explain/recorder.ts'
import { Outcome } from '../../src/core/outcome.ts'
import { Failure } from '../../src/lib/failure.ts'
import { requestId } from '../../src/lib/id.ts'
import { home } from '../cli/gw.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

function outcome(at: number, more: Partial<Outcome> = {}): Outcome {
  const o = new Outcome({ id: requestId(at), at, method: 'POST', path: '/v1/messages', ip: '127.0.0.1' })
  return Object.assign(o, { phase: 'done', status: 200, durationMs: 5, model: 'm' }, more)
}

/** A data dir, and a recorder in it with a clock that the test moves. */
function setUp(t: Test, options: Partial<RecorderOptions> = {}) {
  const dataDir = mkdtempSync(path.join(tmpdir(), 'gw-explain-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const folder = explainFolder(dataDir, 0)
  const clock = { ran: 0 }
  const logged: string[] = []
  const start = (more: Partial<RecorderOptions> = {}) =>
    openRecorder({
      folder,
      keepMs: () => DAY,
      maxBytes: () => 1e9,
      minFreeBytes: () => 0,
      log: (_level, line) => logged.push(line),
      monotonic: () => clock.ran,
      // Nothing is written unless it is told to.
      everyMs: 1e9,
      ...options,
      ...more,
    })
  const known = (id: string) =>
    explain(id, { dataDir, keepMs: DAY, db: 'there is none', now: Date.now() }).then(
      found => found.request_id === id,
      () => false,
    )
  return { dataDir, folder, clock, logged, start, known }
}

t.test('a request is found by its id, in the file of the minute in which it began', async t => {
  const { start, known, folder } = setUp(t)
  const recorder = start()
  const begin = Date.UTC(2026, 10, 28, 23, 14, 30)
  const all = Array.from({ length: 300 }, (_, i) => outcome(begin + i * 1000))
  // They end in another order than they began in.
  for (const o of all.toReversed()) recorder.ended(o)
  t.notOk(await known(all[0]!.id), 'not while it is only in memory')
  await recorder.flush()
  for (const o of all) t.ok(await known(o.id))
  t.strictSame(
    readdirSync(folder).sort(),
    ['14', '15', '16', '17', '18', '19'].map(minute => `000000000-20261128T23${minute}.log`),
  )
  t.notOk(await known(requestId(begin)), 'another of the same time is not')
  await recorder.close()
})

t.test('kill -9: what was written is there, and half a line harms no other', async t => {
  const { dataDir, folder, start, known } = setUp(t)
  const child = fork(path.join(import.meta.dirname, '../fixtures/recorder.ts'), [folder], { stdio: 'inherit' })
  const [ids] = (await once(child, 'message')) as [string[]]
  child.kill('SIGKILL')
  await once(child, 'exit')
  for (const id of [ids[0]!, ids.at(-1)!]) t.ok(await known(id), 'what was flushed before it was killed')
  // As a write that was cut off leaves it, in the file that the next process goes on with.
  const at = Date.now()
  const torn = outcome(at)
  const [newest] = readdirSync(folder).sort().reverse()
  appendFileSync(path.join(folder, newest!), explainLine(torn).slice(0, 60))
  t.notOk(await known(torn.id), 'half a line is no request')
  const recorder = start()
  const next = outcome(Number.parseInt(ids.at(-1)!.replace('-', '').slice(0, 12), 16))
  recorder.ended(next)
  await recorder.close()
  t.ok(await known(next.id), 'the line behind it is whole')
  t.ok(await known(ids.at(-1)!))
  const { found } = await latest(dataDir, {}, 3)
  t.equal(found[0]?.request_id, next.id, 'the latest first')
  t.strictSame(found.map(e => e.request_id).includes(torn.id), false)
  await t.rejects(
    explain(torn.id, { dataDir, keepMs: DAY, db: 'there is none', now: at }),
    { kind: 'missing', message: /the database was not asked: there is none/ },
    'of half a line that was ended by the next process the other sources are asked',
  )
})

t.test('a request that ends while it is asked about is told of', async t => {
  const { dataDir, start } = setUp(t)
  const recorder = start()
  for (const endsWhile of ['before', 'during'] as const) {
    const o = outcome(Date.now(), { phase: 'streaming' })
    let under = true
    const end = () => {
      under = false
      recorder.ended(Object.assign(o, { phase: 'done' }))
    }
    if (endsWhile === 'before') end()
    const found = await explain(o.id, {
      ...{ dataDir, keepMs: DAY, db: 'there is none', now: Date.now() },
      underWay: () => (under ? explainLine(o) : undefined),
      async flush() {
        await recorder.flush()
        if (endsWhile === 'during') end()
      },
    })
    t.equal(found.state, endsWhile === 'before' ? 'ended' : 'under way')
  }
  await recorder.close()
})

t.test('files go when gw has run for so long, and by no clock that somebody sets', async t => {
  const { start, known, clock, folder } = setUp(t)
  let recorder = start()
  const now = Date.UTC(2026, 10, 28, 12)
  const first = outcome(now)
  const write = async (o: Outcome) => {
    recorder.ended(o)
    await recorder.flush()
  }
  await write(first)
  // Set forward by 400 days, for a start.
  await recorder.close()
  recorder = start()
  clock.ran += 2 * MINUTE
  const ahead = outcome(now + 400 * DAY)
  await write(ahead)
  clock.ran += 2 * MINUTE
  await recorder.flush()
  t.ok(await known(first.id), 'nothing is older for it')
  // And back, an hour before it began.
  const before = outcome(now - 60 * MINUTE)
  await write(before)
  for (const o of [first, ahead, before]) t.ok(await known(o.id), 'each is found by its own time')
  // The same minute again, hours later: a file of its own, that ages by itself.
  clock.ran += 5 * 60 * MINUTE
  const again = outcome(now)
  await write(again)
  t.equal(readdirSync(folder).filter(name => name.endsWith('20261128T1200.log')).length, 2)
  // A day of running is over for the first ones.
  clock.ran += 19.5 * 60 * MINUTE
  await recorder.flush()
  t.notOk(await known(first.id), 'what is a day old is gone')
  t.notOk(await known(ahead.id))
  t.ok(await known(again.id), 'what is not stays')
  await recorder.close()
})

t.test('all files together keep within their size, the oldest go first', async t => {
  const { start, known, clock, folder } = setUp(t, { maxBytes: () => 20_000 })
  const recorder = start()
  const now = Date.now()
  const all = Array.from({ length: 300 }, (_, i) => outcome(now + i * MINUTE))
  for (const o of all) {
    clock.ran += MINUTE
    recorder.ended(o)
    await recorder.flush()
  }
  t.ok(recorder.state().bytes <= 21_000, `${recorder.state().bytes} bytes`)
  t.ok(readdirSync(folder).length < 300)
  t.notOk(await known(all[0]!.id))
  t.ok(await known(all.at(-1)!.id))
  t.ok(await known(all.at(-20)!.id))
  t.equal(recorder.state().dropped, 0)
  await recorder.close()
})

t.test('a disk that is full loses what cannot be written, says so once, and goes on', async t => {
  const { start, known, folder, logged } = setUp(t)
  const at = Date.UTC(2026, 10, 28, 12)
  mkdirSync(folder, { recursive: true })
  // The kernel's own full disk, for the file of one minute.
  symlinkSync('/dev/full', path.join(folder, '000000000-20261128T1200.log'))
  const recorder = start()
  const lost = [outcome(at), outcome(at + 1), outcome(at + 2)]
  for (const o of lost) recorder.ended(o)
  await recorder.flush()
  recorder.ended(outcome(at + 3))
  await recorder.flush()
  t.match(recorder.state(), { dropped: 4, trouble: /ENOSPC/ })
  t.equal(logged.length, 1, 'told once')
  const kept = outcome(at + MINUTE)
  recorder.ended(kept)
  await recorder.flush()
  t.ok(await known(kept.id), 'where there is room it is written')
  t.match(recorder.state(), { dropped: 4, trouble: undefined })
  t.match(logged[1], /again/)
  await recorder.close()
})

t.test('where space is short, files make room for the books', async t => {
  let free = 1e9
  const { start, known, clock, folder } = setUp(t, {
    minFreeBytes: () => 1000,
    freeBytes: folder => Promise.resolve(free + (10 - readdirSync(folder).length) * 100),
  })
  const recorder = start()
  const now = Date.now()
  const all = Array.from({ length: 10 }, (_, i) => outcome(now + i * MINUTE))
  for (const o of all) {
    clock.ran += MINUTE
    recorder.ended(o)
    await recorder.flush()
  }
  t.equal(readdirSync(folder).length, 10)
  free = 700
  recorder.ended(outcome(now + 9 * MINUTE))
  await recorder.flush()
  t.equal(readdirSync(folder).length, 7, 'as many as it takes')
  t.ok(await known(all.at(-1)!.id))
  t.equal(recorder.state().dropped, 0)
  free = -1e9
  for (let i = 0; i < 3; i++) {
    recorder.ended(outcome(now + 9 * MINUTE))
    await recorder.flush()
  }
  t.equal(readdirSync(folder).length, 1, 'none is left but the one being written')
  t.match(recorder.state(), { dropped: 3, trouble: /only .* free/ })
  await recorder.close()
})

t.test('what waits for a disk that does not answer is bounded', async t => {
  const { start } = setUp(t)
  const recorder = start()
  const o = outcome(Date.now(), { model: 'm'.repeat(400) })
  for (let i = 0; i < 60_000; i++) recorder.ended(o)
  const { dropped } = recorder.state()
  t.ok(dropped > 0 && dropped < 50_000, `${dropped} of 60000 are dropped`)
  await recorder.close()
})

t.test('an id that is none, or of nobody, gets an answer that helps', async t => {
  const { dataDir, start } = setUp(t)
  const recorder = start()
  recorder.ended(outcome(Date.UTC(2026, 10, 28, 12)))
  await recorder.close()
  const now = Date.UTC(2026, 10, 28, 13)
  const said = (id: string, keepMs = DAY) =>
    explain(id, { dataDir, keepMs, db: 'the embedded database does not run', now }).then(
      () => 'found',
      (error: Error & { kind: string }) => `${error.kind}: ${error.message}`,
    )
  t.match(await said('abc'), /^usage: "abc" is no request id of gw's; one looks like 0193.* x-request-id header/)
  t.match(await said('0f8fad5b-d9cb-469f-a165-70867728950e'), /^usage: /, 'a UUID of another version')
  t.match(await said('req_011CSHoEeqs5C35K2UUqR7Fy'), /provider’s own, which gw tells as x-upstream-request-id/)
  t.match(await said('x'.repeat(5000)), /^usage: "x{60}…"/)
  t.match(
    await said(requestId(Date.UTC(2026, 10, 27))),
    /^missing: no request .* began at 2026-11-27T00:00:00.000Z; this node remembers those since 2026-11-28T12:00:00.000Z \(ops.explain.keep is 1d\), and the database was not asked: the embedded/,
  )
  t.match(await said(requestId(Date.UTC(2027, 0, 1))), /still to come/)
  t.match(await said(requestId(Date.UTC(2026, 10, 27)), 0), /remembers none \(ops.explain.keep is 0s\)/)
  t.equal(
    await said(` ${requestId(0).toUpperCase()} `).then(text => text.slice(0, 7)),
    'missing',
    'however it is pasted',
  )
})

t.test('gw explain reads the files by itself when there is no daemon', async t => {
  const { gw, json, dataDir } = await home(t)
  const recorder = openRecorder({
    ...{
      folder: explainFolder(dataDir, 0),
      keepMs: () => DAY,
      maxBytes: () => 1e9,
      minFreeBytes: () => 0,
      log: () => {},
    },
  })
  const [good, bad] = [
    outcome(Date.now()),
    outcome(Date.now(), { status: 401, failure: new Failure('INVALID_API_KEY') }),
  ]
  recorder.ended(good!)
  recorder.ended(bad!)
  await recorder.close()
  const told = await gw(`explain ${good!.id}`)
  t.match(told, { code: 0, stderr: '' })
  t.match(told.stdout, /^Request 0.*\nbegan .*came to +200 .*not known +Whether .*database does\s+not run/s)
  t.match(await json(`explain ${bad!.id}`), {
    request_id: bad!.id,
    status: 401,
    code: 'INVALID_API_KEY',
    source: 'recorded',
  })
  t.strictSame(
    (await json<{ request_id: string }[]>('explain --last')).map(e => e.request_id),
    [bad!.id, good!.id],
  )
  t.strictSame(
    (await json<{ request_id: string }[]>('explain --failed')).map(e => e.request_id),
    [bad!.id],
  )
  t.match(await gw('explain'), { code: 2, stderr: /which request\? give its id, or --last/ })
  t.match(await gw(`explain ${bad!.id} --failed`), { code: 2, stderr: /goes without --last/ })
  t.match(await gw('explain nonsense'), { code: 2, stderr: /is no request id of gw's/ })
  t.match(await gw('explain 01935b1e-7d1f-7abc-8def-0123456789ab'), { code: 6, stderr: /no request .* is known/ })
})

t.test('0s keeps nothing', async t => {
  const { start, folder } = setUp(t, { keepMs: () => 0 })
  const recorder = start()
  recorder.ended(outcome(Date.now()))
  await recorder.close()
  t.strictSame(readdirSync(folder), [])
})

t.test('what looks like a credential is in no line', async t => {
  const secret = 'sk-ant-api03-CANARYCANARYCANARYCANARY'
  const o = outcome(Date.now(), {
    model: secret,
    upstreamModel: `x/${secret}`,
    failure: new Failure('UPSTREAM_FAILED'),
    error: `key ${'x'.repeat(480)} ${secret} is bad`,
    dropped: [secret],
  })
  Object.assign(o.attempt({ id: 1, name: 'a' }, o.at), {
    error: secret,
    errorType: secret,
    excerpt: `{"k":"${secret}"}`,
  })
  t.notMatch(explainLine(o), /CANARY/)
})

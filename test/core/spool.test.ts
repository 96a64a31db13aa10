// The spool against a real Postgres: what was appended arrives, once, whatever happens in between.

import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { readRefused, refusedCount, setAside, settleRefused } from '../../src/core/books/refused.ts'
import { openSpool, type Spool, type SpoolOptions } from '../../src/core/books/spool.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { requestId } from '../../src/lib/id.ts'
import { book, moverHere } from '../helpers/booking.ts'
import { freshDatabase } from '../helpers/database.ts'
import { matchAll } from '../helpers/match.ts'
import { outageOf } from '../helpers/outage.ts'

const noon = Date.UTC(2026, 10, 15, 12)
// One database for the file; each test finds its table empty.
const whole = t
let url: string | undefined
// No test waits for a timer: a spool with this interval moves when it is drained.
const NEVER = 1e9

t.test('lines reach the table once, and the spool is empty then', async t => {
  const place = await placeFor(t)
  const spool = place.open({ batch: 3 })
  t.same(spool.state(), { waiting: 0, oldest: undefined, error: undefined })
  const sent = lines(10)
  for (const line of sent) spool.append(line)
  t.equal(spool.state().waiting, 10)
  t.same(await place.rows(), [], 'on disk, not there yet')
  t.equal(place.segments().length, 1)
  t.equal(readFileSync(place.segments()[0]!, 'utf8'), sent.map(line => `${line}\n`).join(''))
  t.equal(statSync(place.segments()[0]!).mode & 0o777, 0o600)

  await spool.drain(10_000)
  t.same(await place.rows(), idsOf(sent))
  t.equal(spool.state().waiting, 0)
  const more = lines(4)
  for (const line of more) spool.append(line)
  await spool.drain(10_000)
  await spool.close()
  t.same(await place.rows(), idsOf([...sent, ...more]))
  t.same(readdirSync(place.folder), [], 'no file is left')
  t.throws(() => spool.append(lines(1)[0]!), /closed/, 'and a closed one takes nothing')
  t.same(place.log, [], 'none of it is news')
})

t.test('a row holds what its line says, to the last digit', async t => {
  const place = await placeFor(t)
  const spool = place.open()
  const row = {
    cost: '9007199254740993',
    charged: '9223372036854775807',
    model: 'é🙂 "quoted" \\ back',
    upstream_model: null,
    partial: true,
    first_token_ms: 7,
    at: '2026-11-15T12:00:00.123Z',
  }
  spool.append(line(row))
  await spool.drain(10_000)
  const { rows } = await sql<
    Record<string, unknown>
  >`select *, charged::text as charged, cost::text as cost from usage`.execute(place.db)
  t.match(rows[0], { ...row, at: new Date(row.at) })
})

t.test('of a database that was put back meanwhile, what a closed one left is moved again, once', async t => {
  const place = await placeFor(t)
  const folder = path.join(path.dirname(place.folder), 'booked')
  const open = (again: boolean) => place.open({ kept: { folder, again } })
  const sent = lines(4)
  const first = open(false)
  for (const one of sent.slice(0, 2)) first.append(one)
  await first.drain(10_000)
  t.equal(await first.rewind(), 2)
  for (const one of sent.slice(2)) first.append(one)
  await first.drain(10_000)
  await first.close()
  t.equal(await first.rewind(), 0, 'a closed one has none')
  t.same(await place.rows(), idsOf(sent))
  t.same(readdirSync(place.folder), [])

  const lost = idsOf(sent).slice(1)
  await sql`delete from usage where request_id = any(${lost})`.execute(place.db)
  await sql`delete from ledger where entry_id = any(${lost})`.execute(place.db)
  const second = open(true)
  t.equal(second.state().waiting, 4)
  await second.drain(10_000)
  await second.close()
  t.same(await place.rows(), idsOf(sent))
  t.same(readdirSync(folder), [], 'no third time')

  const third = open(false)
  third.append(lines(1)[0]!)
  await third.drain(10_000)
  await third.close()
  t.equal(readdirSync(folder).length, 1)
  await open(false).close()
  t.same(readdirSync(folder), [], 'nor where the database is as it was')
})

t.test('it moves by itself, every interval, and each month finds its partition', async t => {
  const place = await placeFor(t)
  const spool = place.open({ intervalMs: 1, batch: 5 })
  const sent = [
    ...lines(6),
    line({ at: '2031-11-30T23:59:59.999Z' }),
    line({ at: '2031-12-01T00:00:00.000Z' }),
    line({ at: '2032-02-29T12:00:00.000Z' }),
  ]
  for (const one of sent) spool.append(one)
  while (spool.state().waiting > 0) await new Promise(resolve => setImmediate(resolve))
  t.same(await place.rows(), idsOf(sent))
})

t.test('months are those of UTC wherever the server lives', async t => {
  const place = await placeFor(t, { timezone: 'Asia/Shanghai' })
  const spool = place.open()
  const sent = [line({ at: '2041-12-15T00:00:00Z' }), line({ at: '2042-01-31T23:00:00Z' })]
  for (const one of sent) spool.append(one)
  await spool.drain(10_000)
  t.same(await place.rows(), idsOf(sent))
})

t.test(
  'after kill -9 the next start finds all that was taken, and writes what was moved already no second time',
  async t => {
    const place = await placeFor(t)
    const [moved, left] = [lines(20), lines(20)]
    const child = await spooler(t, place)
    t.same(await child.tell('append', moved), { taken: 20 })
    t.match(await child.tell('drain'), { waiting: 0 })
    t.same(await child.tell('append', left), { taken: 20 })
    await child.kill()
    t.same(await place.rows(), idsOf(moved))

    const spool = place.open()
    t.equal(spool.state().waiting, 40, 'what of it is moved already is not known')
    matchAll(t, place.log, [/^info replaying \d+ bytes/])
    const after = lines(3)
    for (const one of after) spool.append(one)
    t.equal(spool.state().waiting, 43)
    await spool.drain(10_000)
    t.equal(spool.state().waiting, 0)
    t.same(await place.rows(), idsOf([...moved, ...left, ...after]))
    await spool.close()
    t.same(readdirSync(place.folder), [])
  },
)

t.test('the unfinished end of the last segment is no line, and no damage', async t => {
  const place = await placeFor(t)
  const [first, last] = [lines(2), lines(3)]
  place.segment('1-1-0', first)
  // A write that lacks nothing but the line's end is a line.
  place.segment('1-1-1', last.slice(0, 2), last[2])
  place.segment('1-1-2', [], line().slice(0, 50))
  place.segment('1-1-3', [], '')
  const spool = place.open({ batch: 1 })
  await spool.drain(10_000)
  t.strictSame(spool.state(), { waiting: 0, oldest: undefined, error: undefined })
  t.strictSame(await place.rows(), idsOf([...first, ...last]))
  t.match(place.log.at(-1), /^info .*1-1-2.ndjson ends with 50 bytes of a line that was never finished/)
  await spool.close()
  t.strictSame(readdirSync(place.folder), [], 'nothing of it was refused')
})

t.test('lines that cannot be read are set aside with what is wrong in them, and the others written', async t => {
  const place = await placeFor(t)
  const good = lines(6)
  const torn = line().slice(0, 50)
  const bytes = Buffer.from([0x7b, 0xff, 0xfe, 0x7d])
  const bad: [text: string, why: RegExp][] = [
    ['not json at all', /^it is no JSON: /],
    ['[1,2]', /^it is no JSON object$/],
    [torn, /^it is no JSON: /],
    [line({ charged: 'dear' }), /^charged must be a whole number of nano-USD as text, got "dear"$/],
    [line({ charged: 12 }), /^charged must be .*, got 12$/],
    [line({ cost: '99999999999999999999' }), /^cost must be /],
    [line({ input_tokens: 1e300 }), /^input_tokens must be a whole number up to 2147483647, got 1e\+300$/],
    [line({ at: 'yesterday-ish' }), /^at must be a time/],
    [line({ request_id: 7 }), /^request_id must be a UUID, got 7$/],
    [line({ model: 'a\0b' }), /^model must be text without NUL/],
    [line({ user_id: undefined }), /^user_id must be a whole number .*, got nothing$/],
    ['\0'.repeat(5_000_000), /^it is no JSON: /],
  ]
  // At the beginning, in the middle and at the end, where what has no end is cut off; the last segment alone may be that.
  place.segment('1-1-0', [bad[0]![0], good[0]!, ...bad.slice(1, 6).map(([text]) => text), good[1]!], torn)
  place.segment('1-1-1', [...bad.slice(6).flatMap(([text], i) => [text, good[2 + (i % 4)]!]), ''], 'garbage')
  appendFileSync(path.join(place.folder, '1-1-0.ndjson'), Buffer.concat([Buffer.from('\n'), bytes, Buffer.from('\n')]))
  const spool = place.open({ batch: 3 })
  await spool.drain(10_000)
  t.strictSame(spool.state(), { waiting: 0, oldest: undefined, error: undefined })
  t.strictSame(await place.rows(), idsOf(good))
  const refused = readRefused(place.refused)
  t.strictSame(
    refused.filter(one => one.line !== null).map(one => one.line),
    [...bad.slice(0, 6).map(([text]) => text), torn, ...bad.slice(6).map(([text]) => text), 'garbage'],
    'each is kept as it was',
  )
  t.strictSame(
    refused.filter(one => one.line === null).map(one => one.base64),
    [bytes.toString('base64')],
    'to the last byte',
  )
  for (const [text, why] of bad) t.match(refused.find(one => one.line === text)!.why, why)
  await spool.close()
  t.strictSame(place.segments(), [])
})

t.test('what was set aside twice, by a crash in between, is one; and half an entry spoils none', async t => {
  const place = await placeFor(t)
  const count = refusedCount(place.refused)
  t.equal(count(), 0)
  const raw = Buffer.from('damaged')
  const one = { why: 'w', segment: '1-1-0.ndjson', offset: 7, raw }
  mkdirSync(place.folder)
  setAside(place.refused, [one])
  appendFileSync(place.refused, '{"at":"2026-')
  setAside(place.refused, [one, { ...one, offset: 9 }])
  t.equal(count(), 2)
  const [first, second] = readRefused(place.refused)
  t.strictSame([first!.line, second!.line], ['damaged', 'damaged'])
  settleRefused(place.refused, [first!.number], 'dropped', 'me')
  t.strictSame(readRefused(place.refused), [second])
  t.equal(count(), 1)
  // As an older gw kept them.
  const old = line()
  appendFileSync(place.refused, `${old}\n`)
  t.equal(count(), 2)
  t.strictSame(readRefused(place.refused).at(-1)!.line, old)
  rmSync(place.refused)
  t.equal(count(), 0)
  symlinkSync('/etc/passwd', place.refused)
  t.throws(() => setAside(place.refused, [one]), { code: 'ELOOP' }, 'and no link leads elsewhere')
})

t.test('a segment that is replayed twice inserts once', async t => {
  const place = await placeFor(t)
  const sent = lines(12)
  place.segment('1-1-0', sent)
  const copy = path.join(place.folder, 'copy')
  copyFileSync(place.segments()[0]!, copy)
  for (let i = 0; i < 2; i++) {
    const spool = place.open({ batch: 5 })
    await spool.drain(10_000)
    await spool.close()
    t.same(place.segments(), [])
    copyFileSync(copy, path.join(place.folder, '2-1-0.ndjson'))
  }
  t.same(await place.rows(), idsOf(sent))

  place.segment('3-1-0', [...sent, ...sent])
  const spool = place.open({ batch: 100 })
  await spool.drain(10_000)
  t.same(await place.rows(), idsOf(sent), 'nor twice in one batch')
})

t.test('rows that Postgres will never take are set aside, and the others written', async t => {
  const place = await placeFor(t)
  const spool = place.open({ batch: 50 })
  const bad = [
    line({ platform: 'nowhere' }),
    line({ user_id: 77, key_id: 77 }),
    line({ billing: 'barter' }),
    line({ at: '2026-02-31T00:00:00Z' }),
    line({ charged: '9223372036854775807', at: '2026-11-15T12:00:01Z' }),
    line({ charged: '9223372036854775807', at: '2026-11-15T12:00:02Z' }),
  ]
  const good = lines(20)
  const sent = [...good]
  for (const [i, one] of bad.entries()) sent.splice(i * 4, 0, one)
  for (const one of sent) spool.append(one)
  await spool.drain(10_000)
  t.same(spool.state(), { waiting: 0, oldest: undefined, error: undefined })
  t.same(await place.rows(), idsOf(good))
  t.strictSame(
    readRefused(place.refused)
      .map(one => one.line)
      .sort(),
    bad.toSorted(),
    'each is kept as it was',
  )
  t.equal(statSync(place.refused).mode & 0o777, 0o600)
  t.match(
    place.log[0],
    /^error a usage line was refused \(.+\) and is kept in .+refused\.jsonl; see gw ledger refused list$/,
  )
  await spool.close()

  const again = place.open()
  t.equal(again.state().waiting, 0, 'they are not tried again')
})

t.test('while Postgres is away lines wait, and then all arrive once', async t => {
  const place = await placeFor(t)
  const spool = place.open({ intervalMs: 1, batch: 4 })
  const sent = lines(40)
  for (const one of sent.slice(0, 3)) spool.append(one)
  await spool.drain(10_000)

  await place.postgres.down()
  for (const one of sent.slice(3, 8)) spool.append(one)
  await place.heard(/^error usage waits in the spool: /)
  t.match(spool.state(), { waiting: 5, error: String })
  await place.postgres.up()
  await place.heard(/^info usage is being written to Postgres again/)
  t.same(spool.state(), { waiting: 0, oldest: undefined, error: undefined })

  await place.postgres.down()
  for (const one of sent.slice(8)) spool.append(one)
  await spool.drain(300) // it tries more than once, and says so once
  t.match(spool.state(), { waiting: 32, error: String })
  await place.postgres.up()
  await spool.drain(10_000)
  t.same(spool.state(), { waiting: 0, oldest: undefined, error: undefined })
  t.same(await place.rows(), idsOf(sent))
  matchAll(t, place.log, [/^error usage waits/, /^info usage is/, /^error usage waits/, /^info usage is/])
  t.equal(place.log.length, 4)
})

t.test('connections that break in the middle of a batch lose nothing', async t => {
  const place = await placeFor(t)
  const spool = place.open({ intervalMs: 1, batch: 1 })
  const sent = lines(60)
  for (const [i, one] of sent.entries()) {
    spool.append(one)
    if (i % 20 === 10) {
      // Other sessions of this database: the spool's own, whatever they are at.
      await sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and usename = current_user and pid <> pg_backend_pid()`.execute(
        place.db,
      )
    }
  }
  await spool.drain(20_000)
  t.same(spool.state(), { waiting: 0, oldest: undefined, error: undefined })
  t.same(await place.rows(), idsOf(sent))
})

t.test('lines that come while it drains are neither lost nor doubled', async t => {
  const place = await placeFor(t)
  const spool = place.open({ intervalMs: 1, batch: 3 })
  const sent = lines(30)
  // Two connections stand ready, so that two could write at once.
  await Promise.all([1, 2].map(() => sql`select 1`.execute(place.through)))
  place.postgres.silence()
  for (const one of sent.slice(0, 6)) spool.append(one)
  const drained = spool.drain(10_000)
  for (const one of sent.slice(6)) spool.append(one)
  // A timer set later for the same time fires later: the spool's own has fired when this one has.
  await new Promise(resolve => setTimeout(resolve, 1))
  place.postgres.speak()
  await drained
  await spool.drain(10_000)
  t.equal(spool.state().waiting, 0)
  t.same(await place.rows(), idsOf(sent))
})

t.test('a drain outlasts an outage that ends in time', async t => {
  const place = await placeFor(t)
  const spool = place.open({ intervalMs: 1, batch: 2 })
  await place.postgres.down()
  const sent = lines(20)
  for (const one of sent) spool.append(one)
  const drained = spool.drain(20_000)
  await place.heard(/^error usage waits/)
  await place.postgres.up()
  await drained
  t.same(spool.state(), { waiting: 0, oldest: undefined, error: undefined })
  t.same(await place.rows(), idsOf(sent))
})

t.test('a drain ends at its deadline though Postgres is silent, and nothing is lost', async t => {
  const place = await placeFor(t)
  const spool = place.open({ batch: 2 })
  const sent = lines(6)
  place.postgres.silence()
  for (const one of sent) spool.append(one)
  await spool.drain(20)
  t.equal(spool.state().waiting, 6)
  place.postgres.speak()
  await spool.drain(10_000)
  t.same(await place.rows(), idsOf(sent))
})

t.test('closing waits for the batch under way and leaves the rest for the next start', async t => {
  const place = await placeFor(t)
  const sent = lines(40)
  place.segment('1-1-0', sent)
  place.postgres.silence()
  const first = place.open({ batch: 5 })
  const drained = first.drain(20) // the first batch is on its way now
  await drained
  const closed = first.close()
  place.postgres.speak()
  await closed
  const there = await place.rows()
  t.ok(there.length <= 5, `${there.length} rows`)
  t.equal(place.segments().length, 1)

  const next = place.open({ batch: 5 })
  t.equal(next.state().waiting, 40)
  await next.drain(10_000)
  t.same(await place.rows(), idsOf(sent))
})

t.test('a large backlog lies in several files, which go as they are moved', async t => {
  const place = await placeFor(t)
  const spool = place.open({ batch: 10 })
  await place.postgres.down()
  const long = 'x'.repeat(200_000)
  // Some lines are longer than what is read at once.
  const sent = Array.from({ length: 80 }, (_, i) => line({ upstream_model: i % 10 ? long : long.repeat(4) }))
  for (const one of sent) spool.append(one)
  const files = place.segments()
  t.ok(files.length >= 3, `${files.length} files`)
  const bytes = files.map(file => statSync(file).size)
  t.equal(
    bytes.reduce((a, b) => a + b),
    sent.reduce((n, one) => n + one.length + 1, 0),
  )
  t.ok(Math.max(...bytes) < 10 * 1024 * 1024)

  await place.postgres.up()
  await spool.drain(60_000)
  t.same(spool.state(), { waiting: 0, oldest: undefined, error: undefined })
  const left = place.segments()
  t.strictSame(left, files.slice(-2).slice(-left.length), 'the one that is written to is left, and the one before it')
  t.same(await place.rows(), idsOf(sent))
  const after = lines(2)
  for (const one of after) spool.append(one)
  await spool.drain(10_000)
  t.same(await place.rows(), idsOf([...sent, ...after]))
  await spool.close()
  t.same(readdirSync(place.folder), [])
})

t.test('an append that the disk refuses throws, and half a line spoils nothing', { skip: noShell() }, async t => {
  const place = await placeFor(t)
  // A limit on the size of files refuses as a full disk does: some bytes are written, the rest is not.
  // Without tap's hooks in the child, which take the signal that comes with it (SIGXFSZ) for the end.
  const child = await spooler(t, place, ['sh', '-c', 'unset NODE_OPTIONS; ulimit -f 16 && exec "$0" "$@"'])
  const sent = lines(100)
  const { taken, code } = await child.tell('append', sent)
  t.equal(code, 'EFBIG')
  t.ok(taken > 5 && taken < 100, `${taken} lines were taken`)
  for (let i = 0; i < 5; i++) t.match(await child.tell('append', sent.slice(taken)), { taken: 0, code: 'EFBIG' })
  t.equal(place.segments().length, 1, 'a full disk is not filled with files')
  t.match(await child.tell('drain'), { waiting: 0 })
  t.same(await place.rows(), idsOf(sent.slice(0, taken)))
  await child.kill()

  appendFileSync(place.segments()[0]!, line().slice(0, 40))
  const spool = place.open()
  await spool.drain(10_000)
  t.same(await place.rows(), idsOf(sent.slice(0, taken)), 'what was refused is nowhere')
})

// A spool's folder and an empty table, reached through a socket that can fail.
async function placeFor(t: Test, settings: { timezone?: string } = {}) {
  url ??= await freshDatabase(whole)
  const postgres = await outageOf(t, url)
  const parent = mkdtempSync(path.join(tmpdir(), 'gw-spool-'))
  t.teardown(() => rmSync(parent, { recursive: true, force: true }))
  const folder = path.join(parent, 'spool')
  const db = await connect(t, url)
  await sql`truncate usage, usage_minute, usage_hour, usage_day, ledger, key_usage, users restart identity cascade`.execute(
    db,
  )
  await sql`insert into users (id, name, concurrency) overriding system value values (1, 'payer', 1)`.execute(db)
  await sql`insert into balances (user_id) values (1)`.execute(db)
  await sql`insert into api_keys (id, user_id, name, prefix, digest) overriding system value values (2, 1, 'k', 'sk', 'd')`.execute(
    db,
  )
  const options =
    settings.timezone === undefined ? '' : `&options=${encodeURIComponent(`-c TimeZone=${settings.timezone}`)}`
  const through = await connect(t, postgres.url + options)
  const log: string[] = []
  const news = new EventEmitter()
  return {
    folder,
    refused: path.join(folder, 'refused.jsonl'),
    url: url as string,
    postgres,
    db,
    through,
    log,
    open({
      batch = 500,
      intervalMs = NEVER,
      kept,
    }: Partial<Pick<SpoolOptions, 'intervalMs' | 'kept'>> & { batch?: number } = {}): Spool {
      const spool = openSpool({
        folder,
        kept,
        intervalMs,
        mover: moverHere({ folder, batch, book: lines => book(through, lines, 'UTC') }),
        log: (level, line) => {
          log.push(`${level} ${line}`)
          news.emit('line')
        },
      })
      t.teardown(() => spool.close().catch(() => {}))
      return spool
    },
    /** Resolves when the log has such a line. */
    async heard(line: RegExp) {
      while (!log.some(said => line.test(said))) await once(news, 'line')
    },
    segments: () =>
      readdirSync(folder)
        .filter(name => name.endsWith('.ndjson'))
        .sort()
        .map(name => path.join(folder, name)),
    /** A file as an earlier run left it. */
    segment(name: string, whole: string[], torn = '') {
      mkdirSync(folder, { recursive: true })
      writeFileSync(path.join(folder, `${name}.ndjson`), whole.map(line => `${line}\n`).join('') + torn)
    },
    async rows() {
      return (await db.selectFrom('usage').select('request_id').orderBy('request_id').execute()).map(
        row => row.request_id,
      )
    },
  }
}

async function connect(t: Test, url: string) {
  const { config } = loadConfig({ env: {}, flags: {} })
  const database = await openDatabase({ ...config, 'database.url': url }, { migrate: false })
  t.teardown(() => database.close())
  return database.db
}

/** Another gw process on the same spool folder. */
async function spooler(t: Test, place: { folder: string; url: string }, through: string[] = []) {
  const script = fileURLToPath(new URL('../fixtures/spooler.ts', import.meta.url))
  const [command, ...args] = [...through, process.execPath, script, place.folder, place.url]
  const child = spawn(command!, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  t.teardown(kill)
  const answer = async () => {
    const dead = new AbortController()
    child.once('exit', () => dead.abort(new Error('the other process died')))
    return (await once(child, 'message', { signal: dead.signal }))[0] as { taken: number; code?: string }
  }
  await answer()
  return {
    kill,
    tell(order: 'append' | 'drain', lines: string[] = []) {
      child.send({ order, lines })
      return answer()
    },
  }
}

function lines(count: number): string[] {
  return Array.from({ length: count }, () => line())
}

let nth = 0
function line(more: object = {}): string {
  nth++
  return JSON.stringify({
    request_id: requestId(noon + nth),
    at: new Date(noon + nth).toISOString(),
    user_id: 1,
    key_id: 2,
    group_id: null,
    account_id: 3,
    platform: 'anthropic',
    model: 'claude-sonnet-5-5',
    upstream_model: 'claude-sonnet-5-5',
    // Lines of many lengths: a place that is off by a line is then no place at all.
    upstream_request_id: 'r'.repeat((nth * 7) % 40),
    stream: true,
    status: 200,
    input_tokens: 10,
    output_tokens: 20,
    cache_write_5m_tokens: 0,
    cache_write_1h_tokens: 0,
    cache_read_tokens: 0,
    cost: '220000',
    charged: '220000',
    billing: 'balance',
    price: 'shipped:claude-sonnet-5-5',
    partial: false,
    duration_ms: 5,
    first_token_ms: null,
    attempts: 1,
    ...more,
  })
}

function idsOf(sent: string[]): string[] {
  return sent.map(line => (JSON.parse(line) as { request_id: string }).request_id).sort()
}

function noShell(): string | false {
  return process.platform === 'win32' ? 'no ulimit here' : false
}

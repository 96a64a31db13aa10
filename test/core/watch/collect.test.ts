// Counting: what ended is written once, by interval and by minute; hours and days are the sums of minutes, whatever happens.
import { type RawBuilder, sql } from 'kysely'
import t, { type Test } from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import { Outcome } from '../../../src/core/outcome.ts'
import { modelClasses, OTHER, pathClasses } from '../../../src/core/watch/classes.ts'
import { createFold, type FoldOptions } from '../../../src/core/watch/fold.ts'
import { Lives } from '../../../src/core/watch/lives.ts'
import { quantilesOf as merged } from '../../../src/core/watch/merged.ts'
import { rollUp } from '../../../src/core/watch/rollup.ts'
import { createSketch, quantiles } from '../../../src/core/watch/sketch.ts'
import { sums } from '../../../src/core/watch/tally.ts'
import { openDatabase } from '../../../src/db/connect.ts'
import type { WatchGauges } from '../../../src/db/schema-watch.ts'
import { routes } from '../../../src/gateway/enter/routes.ts'
import { Failure } from '../../../src/lib/failure.ts'
import { freshDatabase } from '../../helpers/database.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
/** a whole day of UTC, far from now */
const midnight = Date.UTC(2026, 4, 4)

async function books(t: Test) {
  const { config } = loadConfig({ env: { GW_DATABASE_URL: await freshDatabase(t) }, flags: {} })
  const database = await openDatabase(config, { migrate: false })
  t.teardown(() => database.close())
  return database.db
}
type Db = Awaited<ReturnType<typeof books>>

interface Ended {
  /** Unix ms */
  at: number
  ms?: number
  firstTokenMs?: number
  model?: string
  account?: number
  user?: number
  key?: number
  path?: string
  failure?: Failure
}

/** A request that took its way to the end. */
function ended({ at, ms = 100, firstTokenMs = 10, model = 'm', account = 1, user = 1, key = 1, path, failure }: Ended) {
  const o = new Outcome({ id: 'id', at: at - ms, method: 'POST', path: path ?? '/v1/messages', ip: '127.0.0.1' })
  Object.assign(o, { userId: user, keyId: key, groupId: 7, platform: 'anthropic', model, metered: true })
  Object.assign(o, { upstreamModel: failure ? '' : model, durationMs: ms, firstTokenMs, cost: 5n })
  o.usage.input = 3
  o.usage.output = 2
  o.attempt({ id: account, name: `a${account}`, platform: 'anthropic' }, o.at)
  o.attempts[0]!.endedMs = ms
  o.status = failure ? failure.status : 200
  o.failure = failure
  return o
}

/** One life of a process, on a clock of its own. */
function life(process: string, begins: number, options: Partial<FoldOptions> & { mostRows?: number } = {}) {
  const clock = { now: begins }
  const { intervalMs = MINUTE, mostRows, ...rest } = options
  const fold = createFold({
    intervalMs,
    now: () => clock.now,
    modelClass: model => model,
    pathClass: path => path,
    ...rest,
  })
  const said: string[] = []
  const pending = new Lives({
    writer: { process, node: 'n1' },
    intervalMs,
    log: line => said.push(line),
    ...(mostRows !== undefined && { mostRows }),
  })
  const take = (all: boolean) => {
    if (fold.putBack()) pending.begin(fold.cut(true), clock.now, {} as WatchGauges)
    pending.add(fold.cut(all), clock.now, {} as WatchGauges, all)
  }
  return {
    clock,
    fold,
    pending,
    said,
    take,
    see(one: Ended) {
      clock.now = Math.max(clock.now, one.at)
      fold.ended(ended(one))
    },
    async write(db: Db, all = false) {
      take(all)
      await pending.write(db, clock.now)
    },
  }
}

const numbers = sums.map(name => `sum(${name})::float8 as ${name}`).join(', ')

async function total(db: Db, table: string, dimension = 'total') {
  const { rows } = await sql<Record<string, number>>`select ${sql.raw(numbers)} from ${sql.table(table)}
    where dimension = ${dimension}`.execute(db)
  return rows[0]!
}

async function quantilesOf(db: Db, table: string) {
  const { rows } = await sql<{ duration: Buffer }>`select duration from ${sql.table(table)} ${
    table === 'watch_metrics' ? sql`` : sql`where dimension = 'total'`
  }`.execute(db)
  return merged(rows.map(({ duration }) => duration))
}

/** Repeatable dice. */
function dice(seed: number) {
  return () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647
}

t.test('two processes merge exactly: a quantile over both is that of one that saw all', async t => {
  const db = await books(t)
  const random = dice(5)
  const [one, two, all] = [life('one', midnight), life('two', midnight), life('all', midnight)]
  const sketch = createSketch()
  for (let i = 0; i < 3_000; i++) {
    const seen = { at: midnight + i * 50, ms: Math.ceil(Math.exp(random() * 11)), user: i % 7, key: i % 13 }
    sketch.accept(seen.ms)
    ;(random() < 0.3 ? one : two).see(seen)
    all.see(seen)
  }
  for (const each of [one, two]) {
    each.clock.now = midnight + 3 * MINUTE
    await each.write(db)
  }
  t.strictSame(await quantilesOf(db, 'watch_metrics'), quantiles(sketch))
  t.strictSame(await quantilesOf(db, 'watch_minute'), quantiles(sketch))
  const both = await total(db, 'watch_minute')
  t.equal(both['requests'], 3_000)
  t.strictSame(await total(db, 'watch_minute', 'key'), both, 'whatever the dimension')
  t.strictSame(await total(db, 'watch_minute', 'path'), both)
  t.strictSame(await total(db, 'watch_minute', 'account'), both)
  t.strictSame((await sql`select at from watch_metrics where process = 'one' order by at`.execute(db)).rows, [
    { at: new Date(midnight + MINUTE) },
    { at: new Date(midnight + 2 * MINUTE) },
    { at: new Date(midnight + 3 * MINUTE) },
  ])
})

t.test('a restart within a minute loses and doubles nothing, and no more does writing twice', async t => {
  const db = await books(t)
  const first = life('first', midnight, { intervalMs: 7_000 })
  for (let i = 0; i < 50; i++) {
    first.see({ at: midnight + i * 400 })
    if (i % 20 === 7) await first.write(db)
  }
  await first.write(db, true)
  await first.write(db, true)
  const second = life('second', first.clock.now, { intervalMs: 7_000 })
  for (let i = 50; i < 200; i++) second.see({ at: midnight + i * 400 })
  await second.write(db, true)
  t.equal((await total(db, 'watch_minute'))['requests'], 200)
  const { rows } = await sql`select sum(requests)::integer as requests from watch_metrics`.execute(db)
  t.strictSame(rows, [{ requests: 200 }])
  const cells = await sql`select sum(requests)::integer as requests from watch_cells`.execute(db)
  t.strictSame(cells.rows, [{ requests: 200 }])
  const ends = await sql<{ at: Date }>`select at from watch_metrics`.execute(db)
  t.ok(
    ends.rows.every(({ at }) => at.getTime() % 7_000 === 0),
    'intervals end at multiples of their length, also the last one of a life',
  )
})

t.test('roll-ups equal the sums of minutes, late rows included, however often they are made', async t => {
  const db = await books(t)
  const random = dice(11)
  const [early, late] = [life('early', midnight), life('late', midnight)]
  const far = DAY + 2 * HOUR
  for (let i = 0; i < 400; i++) {
    const seen = {
      at: midnight + Math.floor((i / 400) * far),
      ms: 1 + Math.floor(random() * 9_000),
      model: `m${i % 5}`,
    }
    ;(i % 3 === 0 ? late : early).see(seen)
    // Both in one minute: the most that it had is of both together.
    if (i === 200) for (const each of [early, late, early, late]) each.see(seen)
  }
  const now = midnight + far + 10 * MINUTE
  for (const each of [early, late]) each.clock.now = now
  await early.write(db)
  const whole = async (table: string, before: number) => {
    const { rows } = await sql`select dimension, value, ${sql.raw(numbers)} from ${sql.table(table)}
      where at < ${new Date(before)} group by 1, 2 order by 1, 2`.execute(db)
    return rows
  }
  t.strictSame(await rollUp(db, { now }), { hours: 26, days: 1, late: 0 })
  t.strictSame(await whole('watch_hour', midnight + far), await whole('watch_minute', midnight + far))
  t.strictSame(await whole('watch_day', midnight + far), await whole('watch_minute', midnight + DAY))
  t.strictSame(await rollUp(db, { now }), { hours: 0, days: 0, late: 0 }, 'done once')

  await late.write(db)
  t.strictSame(await rollUp(db, { now }), { hours: 26, days: 1, late: 27 }, 'what came late is summed again')
  t.strictSame(await whole('watch_hour', midnight + far), await whole('watch_minute', midnight + far))
  t.strictSame(await whole('watch_day', midnight + far), await whole('watch_minute', midnight + DAY))
  t.equal((await whole('watch_day', midnight + far)).length, 12)
  t.strictSame(await quantilesOf(db, 'watch_hour'), await quantilesOf(db, 'watch_minute'))
  t.strictSame(await rollUp(db, { now }), { hours: 0, days: 0, late: 0 })
  // Over processes: the two of them in one minute make more than either.
  const minutes = (unit: string, until: Date) => sql`
    select date_trunc(${unit}, at, 'UTC') as at, dimension, value, max(requests)::integer as peak_requests, max(tokens)::bigint as peak_tokens
    from (select at, dimension, value, sum(requests) as requests, sum(input_tokens + output_tokens) as tokens
      from watch_minute where at < ${until} group by 1, 2, 3) m
    group by 1, 2, 3 order by 1, 2, 3`
  const peaks = (table: string) =>
    sql`select at, dimension, value, peak_requests, peak_tokens from ${sql.table(table)} order by 1, 2, 3`
  const rows = async (query: RawBuilder<unknown>) => (await query.execute(db)).rows
  t.strictSame(
    await rows(peaks('watch_hour')),
    await rows(minutes('hour', new Date(midnight + far))),
    'an hour knows the most that a minute of it had',
  )
  t.strictSame(await rows(peaks('watch_day')), await rows(minutes('day', new Date(midnight + DAY))), 'and a day')

  await t.test('what comes late for minutes that are dropped already replaces no hour and no day', async t => {
    const before = { hours: await whole('watch_hour', midnight + DAY), days: await whole('watch_day', midnight + DAY) }
    await sql`create table minutes as select * from watch_minute`.execute(db)
    await sql`delete from watch_minute where at < ${new Date(midnight + DAY)}`.execute(db)
    await sql`insert into usage_kept (name, since) values ('watch_minute', ${new Date(midnight + DAY)})`.execute(db)
    const astray = life('astray', midnight + 5 * HOUR)
    astray.see({ at: midnight + 5 * HOUR })
    astray.clock.now += MINUTE
    await astray.write(db)
    t.strictSame(await rollUp(db, { now }), { hours: 0, days: 0, late: 0 })
    t.strictSame(await whole('watch_hour', midnight + DAY), before.hours)
    t.strictSame(await whole('watch_day', midnight + DAY), before.days)
    await sql`delete from usage_kept where name = 'watch_minute'`.execute(db)
    await sql`truncate watch_minute`.execute(db)
    await sql`insert into watch_minute select * from minutes`.execute(db)
  })

  await t.test('interrupted anywhere, the next run goes on', async t => {
    await sql`truncate watch_hour, watch_day`.execute(db)
    await sql`update watch_rolled set until = 'epoch'`.execute(db)
    for (let runs = 0; runs < 10; runs++) {
      const ending = new AbortController()
      setImmediate(() => setTimeout(() => ending.abort(), runs))
      await rollUp(db, { now, signal: ending.signal })
    }
    await rollUp(db, { now })
    t.strictSame(await whole('watch_hour', midnight + far), await whole('watch_minute', midnight + far))
    t.strictSame(await whole('watch_day', midnight + far), await whole('watch_minute', midnight + DAY))
  })
})

t.test('a database that is away loses nothing that fits, and what was dropped is told', async t => {
  const db = await books(t)
  const gone = {
    ...db,
    transaction: () => {
      throw new Error('away')
    },
  } as unknown as Db
  const patient = life('patient', midnight)
  for (let minute = 0; minute < 40; minute++) {
    for (let i = 0; i < 4; i++) patient.see({ at: midnight + minute * MINUTE + i, model: `m${i}` })
    patient.clock.now = midnight + (minute + 1) * MINUTE
    await t.rejects(patient.write(minute % 2 ? gone : (undefined as unknown as Db)))
  }
  await patient.write(db)
  t.equal((await total(db, 'watch_minute'))['requests'], 160)
  t.strictSame(patient.said, [])

  const narrow = life('narrow', midnight, { mostRows: 150 })
  for (let minute = 0; minute < 40; minute++) {
    for (let i = 0; i < 4; i++) narrow.see({ at: midnight + minute * MINUTE + i, model: `m${i}` })
    narrow.clock.now = midnight + (minute + 1) * MINUTE
    narrow.take(false)
    t.ok(narrow.pending.size <= 150, 'it keeps within its bound')
  }
  await narrow.write(db)
  const { rows } = await sql<{ first: Date; last: Date }>`select min(at) as first, max(at) as last from watch_minute
    where process = 'narrow'`.execute(db)
  t.equal(rows[0]!.last.getTime(), midnight + 39 * MINUTE, 'the newest is there')
  t.ok(rows[0]!.first.getTime() > midnight + 20 * MINUTE, 'the oldest went first')
  t.equal(narrow.said.length, 1)
  t.match(narrow.said[0], /^watch: \d+ intervals and minutes from 2026-05-04T00:0\d:00.000Z on are not written/)
})

t.test('a clock that is put back silences nothing, and replaces nothing that was written', async t => {
  const db = await books(t)
  const one = life('one', midnight)
  const minutes = async () =>
    (
      await sql<{ at: Date; requests: number }>`select at, sum(requests)::integer as requests from watch_minute
        where dimension = 'total' group by 1 order by 1`.execute(db)
    ).rows.map(({ at, requests }) => [(at.getTime() - midnight) / MINUTE, requests])
  // Its host began with a clock two hours ahead.
  const ahead = midnight + 2 * HOUR
  one.clock.now = ahead
  await one.write(db, true)
  for (let i = 0; i < 3; i++) {
    one.see({ at: ahead + i * MINUTE + 10 })
    one.see({ at: ahead + i * MINUTE + 20 })
    await one.write(db)
  }
  const written = midnight + HOUR
  one.clock.now = written + 30_000
  // It began before: by its own reckoning it ends in that future.
  one.fold.ended(ended({ at: ahead + 4 * MINUTE }))
  await one.write(db)
  one.see({ at: written + 40_000 })
  one.clock.now = written + MINUTE
  await one.write(db)
  t.strictSame(await minutes(), [
    [60, 1],
    [120, 2],
    [121, 2],
    [122, 3],
  ])
  t.equal(one.said.length, 1)
  t.match(one.said[0], /^watch: the clock was put back to 2026-05-04T01:00:30/)

  // And again, to a time that was written.
  one.see({ at: written + 5 * MINUTE })
  one.clock.now = written + 5 * MINUTE + 1
  await one.write(db)
  one.clock.now = written + 1
  await one.write(db)
  one.see({ at: written + 2 })
  one.clock.now = written + 6 * MINUTE
  await one.write(db)
  t.strictSame((await minutes()).slice(0, 2), [
    [60, 2],
    [65, 1],
  ])
  t.equal(one.pending.size, 0, 'nothing waits any more')
  const { rows } = await sql`select sum(requests)::integer as requests from watch_metrics`.execute(db)
  t.strictSame(rows, [{ requests: 10 }], 'intervals have all of it, too')
})

t.test('what failed is counted as whose it is, and where it failed', async t => {
  const db = await books(t)
  const one = life('one', midnight)
  one.see({ at: midnight + 1 })
  one.see({ at: midnight + 2, failure: new Failure('QUEUE_FULL', [3]) })
  const silent = ended({ at: midnight + 3, account: 4, failure: new Failure('UPSTREAM_IDLE', ['180s']) })
  const [tried] = silent.attempts
  Object.assign(tried!, { status: 0, error: 'EIDLE: idle timeout', kind: 'network' })
  silent.attempts.unshift({ ...tried!, accountId: 3, status: 529, error: 'overloaded', kind: 'overload' })
  one.fold.ended(silent)
  one.clock.now = midnight + MINUTE
  await one.write(db)
  const sum = await total(db, 'watch_minute')
  t.match(sum, {
    requests: 3,
    success: 1,
    errors: 1,
    client_errors: 1,
    errors_4xx: 1,
    errors_5xx: 1,
    errors_timeout: 1,
    attempts: 4,
    attempt_errors: 2,
    network_errors: 1,
  })
  const { rows } = await sql`select value, requests, errors, attempts, attempt_errors, network_errors from watch_minute
    where dimension = 'account' order by value`.execute(db)
  t.strictSame(rows, [
    { value: '1', requests: 2, errors: 0, attempts: 2, attempt_errors: 0, network_errors: 0 },
    { value: '3', requests: 0, errors: 0, attempts: 1, attempt_errors: 1, network_errors: 0 },
    { value: '4', requests: 1, errors: 1, attempts: 1, attempt_errors: 1, network_errors: 1 },
  ])
})

t.test('an attempt that nobody or the client is to blame for is no error of its account', async t => {
  const one = life('one', midnight)
  const blameless = [
    { kind: 'stale', status: 0, error: 'ECONNRESET: socket hang up', again: 'fresh' },
    { kind: 'proofs', status: 400, error: 'refused the proofs of reasoning', again: 'unsealed' },
    { kind: 'client', status: 400, error: 'max_tokens: too large' },
    { kind: '', status: 200, error: 'ECLIENTSTALLED: the client took nothing for 60s' },
    { kind: '', status: 200, error: '' },
  ]
  for (const each of blameless) {
    const o = ended({ at: midnight + 1 })
    Object.assign(o.attempts[0]!, each)
    one.fold.ended(o)
  }
  const o = ended({ at: midnight + 1 })
  Object.assign(o.attempts[0]!, { kind: 'network', status: 0, error: 'ECONNREFUSED' })
  one.fold.ended(o)
  const [slice] = one.fold.cut(true)
  const { attempts, attempt_errors, network_errors } = slice!.cells[0]!.counts
  t.strictSame({ attempts, attempt_errors, network_errors }, { attempts: 6, attempt_errors: 1, network_errors: 1 })
})

t.test('what clients make up does not grow memory: models and paths are classes, payers have a bound', async t => {
  const pathClass = pathClasses(routes.map(route => route.path))
  const modelClass = modelClasses(model => model === 'known')
  const one = life('one', midnight, { pathClass, modelClass, mostPayers: 100, mostCells: 50 })
  for (let i = 0; i < 100_000; i++)
    one.see({
      at: midnight + 1,
      model: `made-up-${i}`,
      path: `/v1/${i}`,
      key: i,
      user: i,
      ...(i % 2 && { failure: new Failure('NO_UPSTREAM', ['main', 'x']) }),
    })
  const [slice] = one.fold.cut(true)
  t.ok(slice!.cells.length <= 51, 'cells')
  t.strictSame([...slice!.paths.keys()], [OTHER])
  t.equal(slice!.keys.size, 101)
  t.equal(slice!.users.size, 101)
  t.ok(slice!.crowded > 100_000, 'and what did not fit is known')
  t.equal(
    slice!.cells.reduce((sum, { counts }) => sum + counts.requests, 0),
    100_000,
    'all is counted',
  )

  t.equal(modelClass('made-up-0', false), 'made-up-0', 'what an upstream served has a name')
  t.equal(modelClass('known', false), 'known')
  t.equal(modelClass('made-up-1', true), OTHER, 'until there are too many')
  t.equal(modelClasses(() => false)('a\0b', true), OTHER)
  t.equal(pathClass('/v1/messages'), '/v1/messages')
  t.equal(pathClass('/v1beta/models/gemini-3-pro:generateContent'), '/v1beta/models/{model}:generateContent')
  t.equal(pathClass('/v1beta/models/a/b:streamGenerateContent'), '/v1beta/models/{model}:streamGenerateContent')
  t.equal(pathClass('/v1/models/gpt-9'), '/v1/models/{model}')
  t.equal(pathClass('/antigravity/v1beta/models/x:countTokens'), '/antigravity/v1beta/models/{model}:countTokens')
  t.equal(pathClass('/etc/passwd'), OTHER)
})

t.test('a writer that stands still with Postgres costs so many slices, and what is lost is told', async t => {
  const clock = { now: midnight }
  const lost: number[] = []
  const fold = createFold({
    intervalMs: MINUTE,
    now: () => clock.now,
    modelClass: model => model,
    pathClass: path => path,
    mostSlices: 3,
    lost: slice => lost.push(slice.from),
  })
  for (let n = 0; n < 6; n++) {
    fold.ended(ended({ at: clock.now }))
    clock.now += MINUTE
  }
  const kept = fold.cut()
  t.equal(kept.length + lost.length, 6, 'each minute is kept or told')
  t.equal(lost.length, 2)
  t.equal(lost[0], midnight, 'the oldest first')
  t.strictSame(
    kept.map(slice => slice.cells[0]!.counts.requests),
    [1, 1, 1, 1],
  )
})

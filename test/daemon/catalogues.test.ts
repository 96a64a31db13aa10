// Providers' lists of models: each read by one of all nodes, in force on every one, and nothing else of an account is touched by it.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { sql } from 'kysely'
import pino from 'pino'
import t from 'tap'
import { addAccount, type NewAccount, setAccount } from '../../src/core/record/account.ts'
import { readCatalogue } from '../../src/core/record/catalogue.ts'
import { addProxy } from '../../src/core/record/proxy.ts'
import { storeTokens } from '../../src/core/record/token.ts'
import { keepCatalogues } from '../../src/daemon/catalogues.ts'
import { startJobs } from '../../src/daemon/jobs.ts'
import { startDaemon } from '../../src/daemon/main.ts'
import { egress } from '../helpers/egress.ts'
import { gateway, type TestGateway, until } from '../helpers/gateway.ts'

const HOUR = 3_600_000
const listOf = (...names: string[]) => ({
  body: JSON.stringify({ models: Object.fromEntries(names.map(n => [n, {}])) }),
})

/** Adds an account of Antigravity, known to the mock by `cred-NAME`. */
async function antigravity(gw: TestGateway, name: string, more: Partial<NewAccount> = {}): Promise<number> {
  const { id } = await addAccount(gw.database.db, gw.secret, {
    name,
    platform: 'antigravity',
    type: 'oauth',
    credential: token(`cred-${name}`),
    base_url: gw.mock.url,
    concurrency: 0,
    priority: 50,
    mixed: true,
    groups: ['main'],
    ...more,
  })
  return id
}
const token = (access_token: string, more: object = {}) =>
  JSON.stringify({ access_token, project_id: 'proj-1', ...more })

/** The job by itself, run when a test says so; `lines` is what it logged. */
function job(gw: TestGateway, renew: () => Promise<boolean> = async () => false, everyMs = () => HOUR) {
  const lines: string[] = []
  const world = { db: gw.database.db, secret: gw.secret, renew, log: (_: string, line: string) => lines.push(line) }
  const made = keepCatalogues(world, { snapshot: () => gw.daemon.gateway.snapshot, everyMs })
  const staying = new AbortController().signal
  return { made, lines, run: () => made.run(staying) as Promise<void> }
}

/** As if its time had come. */
const due = (gw: TestGateway, id: number) =>
  gw.database.db.updateTable('accounts').set({ catalogue_due: null }).where('id', '=', id).execute()
const row = async (gw: TestGateway, id: number) => {
  const { rows } = await sql<Record<string, unknown>>`select * from accounts where id = ${id}`.execute(gw.database.db)
  const { catalogue, catalogue_at, catalogue_due, catalogue_problem, ...others } = rows[0]!
  return others
}
const named = async (gw: TestGateway, id: number) => {
  const { mapping } = await readCatalogue(gw.database.db, id)
  return mapping && Object.keys(mapping).filter(name => !name.endsWith('*'))
}

t.test('a list is read by one of two nodes, soon after the start, and in force on a third', async t => {
  const gw = await gateway(t)
  gw.mock.script('cred-anti', listOf('tab-new', 'claude-sonnet-4-6'))
  const id = await antigravity(gw, 'anti')
  const before = await row(gw, id)
  await gw.inForce()
  const facts = () => gw.daemon.gateway.snapshot.accounts.get(id)!
  t.equal(facts().models('tab-new'), undefined, "gw's own table does not have it")
  t.equal(facts().models('claude-opus-4-5'), 'claude-opus-4-6-thinking')

  const log = pino({ level: 'silent' })
  for (const n of [1, 2]) {
    const folder = mkdtempSync(path.join(tmpdir(), `gwc${n}-`))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const node = await startDaemon(
      {
        ...gw.config,
        data_dir: folder,
        'control.socket': path.join(folder, 'gw.sock'),
        'models.refresh_interval': HOUR,
      },
      { log, access: log },
    )
    t.teardown(() => node.stop(0))
  }
  await until(t, 'the list is in force', () => facts().models('tab-new') === 'tab-new')
  t.equal(facts().models('claude-opus-4-5'), undefined, 'what is listed no more is served no more')
  t.equal(facts().models('claude-sonnet-4-5'), 'claude-sonnet-4-6', 'names with a star that lead to a listed one stay')
  t.strictSame(await row(gw, id), before, 'nothing else of the row is another')
  const [asked, ...more] = gw.mock.stats('cred-anti').bodies
  t.strictSame(more, [])
  t.match(asked, { path: '/v1internal:fetchAvailableModels', method: 'POST', body: '{"project":"proj-1"}' })

  gw.mock.script('cred-anti', {})
  await gw.set.account('a1', { status: 'paused' })
  const reply = await gw.send({ model: 'tab-new', max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] })
  t.equal(reply.status, 200, await reply.text())
  t.match(JSON.parse(gw.mock.stats('cred-anti').bodies.at(-1)!.body!), { model: 'tab-new', project: 'proj-1' })
  const list = (await (await gw.send('', { path: '/v1/models', method: 'GET' })).json()) as { data: { id: string }[] }
  t.strictSame(
    list.data.map(({ id }) => id),
    ['claude-sonnet-4-6', 'tab-new'],
  )
})

t.test('what is no list changes nothing, is told once a spell, and is tried again later', async t => {
  const gw = await gateway(t)
  const id = await antigravity(gw, 'anti')
  const way = await egress(t)
  await addProxy(gw.database.db, gw.secret, { name: 'way', url: way.url })
  await setAccount(gw.database.db, gw.secret, String(id), { proxy: 'way' })
  await gw.inForce()
  const { run, lines } = job(gw)
  gw.mock.script('cred-anti', listOf('one', 'two'))
  await run()
  t.strictSame(await named(gw, id), ['one', 'two'])
  t.equal(way.asked.length, 1, 'through its proxy')
  t.match(lines.splice(0).join('\n'), /^account anti: its provider lists 2 models$/)
  const before = { row: await row(gw, id), kept: await readCatalogue(gw.database.db, id) }

  const bad: [step: Parameters<typeof gw.mock.script>[1], problem: RegExp][] = [
    [{ status: 500, error: { message: 'cred-anti broke us. Twice.' } }, /^status 500: \*\*\* broke us$/],
    [{ status: 401, error: { message: 'over' } }, /^status 401: over$/],
    [{ status: 403, body: '<html><title>Go away</title></html>' }, /^status 403: Go away$/],
    [{ body: '{"models":[]}' }, /no list of models/],
    [{ body: '{"models":{"one":{' }, /no list of models/],
    [{ body: '<html>' }, /no list of models/],
    [{ reset: 'start' }, /reset/],
  ]
  for (const [step, problem] of bad) {
    gw.mock.script('cred-anti', step)
    await due(gw, id)
    await run()
    const { problem: told, ...kept } = await readCatalogue(gw.database.db, id)
    t.match(told, problem)
    t.strictSame({ row: await row(gw, id), kept: { ...kept, problem: null } }, before)
  }
  way.conduct = 'refuse'
  await due(gw, id)
  await run()
  t.match((await readCatalogue(gw.database.db, id)).problem, /^proxy way: /)
  t.strictSame(lines.splice(0), [
    "account anti: its provider's list of models cannot be read: status 500: *** broke us",
  ])
  way.conduct = 'connect'
  const asked = gw.mock.stats('cred-anti').requests
  await run()
  t.equal(gw.mock.stats('cred-anti').requests, asked, 'it is not due yet')

  gw.mock.script('cred-anti', listOf('two', 'one'))
  await due(gw, id)
  await run()
  t.match(await readCatalogue(gw.database.db, id), { problem: null, at: Date })
  t.strictSame(lines.splice(0), [], 'the same list again is no news')
  gw.mock.script('cred-anti', { status: 503 })
  await due(gw, id)
  await run()
  t.match(lines.join('\n'), /^account anti: .*status 503/, 'another spell')
})

t.test('who is asked: active accounts without a mapping of their own; at once when what they show changes', async t => {
  const gw = await gateway(t)
  const { db } = gw.database
  const oauth = { refresh_token: 'r', client_id: 'mine', token_url: `${gw.mock.url}/token` }
  const id = await antigravity(gw, 'plain', { credential: token('cred-plain', oauth) })
  await antigravity(gw, 'own', { model_map: { a: 'b' } })
  const paused = await antigravity(gw, 'paused')
  await setAccount(db, gw.secret, String(paused), { status: 'paused' })
  await antigravity(gw, 'over', { expires_at: new Date(0) })
  await antigravity(gw, 'tokenless', {
    credential: JSON.stringify({ refresh_token: 'r2', client_id: 'x', token_url: `${gw.mock.url}/token` }),
  })
  await antigravity(gw, 'key', { type: 'apikey', credential: 'cred-key' })
  let every = HOUR
  const { run } = job(gw, undefined, () => every)
  const asked = async () => {
    const before = gw.mock.stats().bodies.length
    await run()
    return gw.mock
      .stats()
      .bodies.slice(before)
      .map(seen => seen.credential)
      .sort()
  }
  t.strictSame(await asked(), ['cred-key', 'cred-plain'])
  t.equal(gw.mock.stats('cred-key').bodies[0]!.body, '{}')
  t.strictSame(await asked(), [], 'each in its time')
  await storeTokens(db, gw.secret, id, { used: 'r', patch: { access_token: 'cred-next', refresh_token: 'r' } })
  await setAccount(db, gw.secret, String(id), { priority: 3, name: 'renamed' })
  t.strictSame(await asked(), [], 'a refreshed token is the same account of the provider')
  await setAccount(db, gw.secret, String(id), { credential: token('cred-other') })
  t.strictSame(await asked(), ['cred-other'])
  await setAccount(db, gw.secret, String(id), { base_url: `${gw.mock.url}/v1` })
  t.strictSame(await asked(), ['cred-other'])
  await setAccount(db, gw.secret, String(paused), { status: 'active' })
  t.strictSame(await asked(), ['cred-paused'])
  await setAccount(db, gw.secret, 'own', { model_map: {} })
  t.strictSame(await asked(), ['cred-own'])

  await sql`update accounts set catalogue_at = now() - interval '2 minutes' where name = 'own'`.execute(db)
  t.strictSame(await asked(), [])
  every = 60_000
  t.strictSame(await asked(), ['cred-own'], 'an interval that is made shorter holds for what was read before')
  t.strictSame(await asked(), [])
})

t.test('many that ask at once are one, and a list for an older credential is left', async t => {
  const gw = await gateway(t)
  const id = await antigravity(gw, 'anti')
  const { made, run, lines } = job(gw)
  gw.mock.script('cred-anti', { hold: 'start', ...listOf('of-old') })
  gw.mock.script('cred-new', listOf('of-new'))
  const first = run()
  await until(t, 'it is asked', () => gw.mock.stats('cred-anti').holding === 1)
  await Promise.all([run(), run()])
  t.equal(gw.mock.stats('cred-anti').requests, 1)
  await setAccount(gw.database.db, gw.secret, String(id), { credential: token('cred-new') })
  gw.mock.release('cred-anti')
  await first
  t.equal(await named(gw, id), null)
  await run()
  t.strictSame(await named(gw, id), ['of-new'])

  await due(gw, id)
  gw.mock.script('cred-new', { hold: 'start' })
  lines.length = 0
  const jobs = startJobs([made], { database: gw.database, log: { warn: line => t.fail(line) } })
  await until(t, 'it is asked', () => gw.mock.stats('cred-new').holding === 1)
  await jobs.close()
  t.strictSame(lines, [], 'who leaves waits for no provider, and holds nothing against it')
  t.match(await readCatalogue(gw.database.db, id), { problem: null })
})

t.test('a token that is over is made new, once', async t => {
  const gw = await gateway(t)
  const id = await antigravity(gw, 'anti')
  let renewed = 0
  const { run } = job(gw, async () => {
    renewed++
    // As a refresh stores it: nothing else of the row is touched.
    const credential = gw.secret.encrypt(token('cred-fresh'))
    await gw.database.db.updateTable('accounts').set({ credential }).where('id', '=', id).execute()
    return true
  })
  gw.mock.script('cred-anti', { status: 401 })
  gw.mock.script('cred-fresh', [{ status: 401 }, listOf('fresh')])
  await run()
  t.match(await readCatalogue(gw.database.db, id), { mapping: null, problem: /^status 401/ })
  t.equal(renewed, 1)
  await due(gw, id)
  await run()
  t.strictSame(await named(gw, id), ['fresh'])
})

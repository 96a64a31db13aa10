// What operators see of a running daemon and take back: slots, queue, sticky sessions, and accounts that were refused.

import t from 'tap'
import type { BindingView, SlotView, WaiterView } from '../../src/control/view.ts'
import { findAccount, setAccountStatus } from '../../src/core/record/account.ts'
import { listHealth } from '../../src/core/record/health.ts'
import { gateway, hello, until } from '../helpers/gateway.ts'
import { matchAll } from '../helpers/match.ts'
import { each, home } from './gw.ts'

type Up = Awaited<ReturnType<typeof gateway>>
const pointedAt = (up: Up) => ({
  GW_DATA_DIR: up.config.data_dir,
  GW_DATABASE_URL: up.config['database.url']!,
})
const uuid = /^[0-9a-f-]{36}$/

t.test('without a daemon these commands end with 4', async t => {
  const { gw } = await home(t)
  const commands = ['slots list', 'slots clear --yes', 'queue list', 'sticky show', 'sticky clear --yes']
  await each(commands, async line => {
    t.match(await gw(line), { code: 4, stdout: '', stderr: /^gw: no gw daemon answers on .*\n$/ }, line)
  })
  t.match(await gw('slots clear --user a --key b'), { code: 2, stderr: /one of --user, --account and --key/ })
})

t.test('places that are held, and requests that wait for one', async t => {
  const up = await gateway(t, {
    accounts: [{ name: 'first', script: { hold: true }, concurrency: 1 }],
    config: { 'sticky.ttl': 3_600_000 },
  })
  const { gw, json } = await home(t, pointedAt(up))
  t.same(await json('slots list'), [])
  t.match(await gw('slots list'), { code: 0, stdout: '', stderr: 'no place is held\n' })
  t.same(await json('queue list'), [])
  t.match(await gw('queue list'), { code: 0, stdout: '', stderr: 'nobody waits\n' })

  await json('key set alice --concurrency 7')
  await up.inForce()
  const held = up.send(hello())
  await until(t, 'the provider has the request', () => up.mock.stats().inFlight === 1)
  const slots = await json<SlotView[]>('slots list')
  t.same(slots.map(({ kind, name }) => `${kind} ${name}`).sort(), ['account first', 'key alice', 'user alice'])
  for (const slot of slots)
    t.match(slot, {
      process: /^[0-9a-f]{12}$/,
      request_id: uuid,
      model: hello().model,
      phase: 'connecting',
      age_ms: Number,
    })
  const table = await gw('slots list')
  t.match(table.stdout, /^KIND +NAME +PROCESS +REQUEST +LEFT +AGE +MODEL +PHASE\n/)
  t.match(table.stdout, /^account +first +[0-9a-f]{12} +[0-9a-f-]{36} +\d+s +\d+s +claude-\S+ +connecting$/m)
  const full = [{ state: 'full', slots: { used: 1, limit: 1, waiting: 0 } }]
  matchAll(t, await json('account list'), full)
  matchAll(t, await json('account list --state full,error'), full)
  t.strictSame(await json('account list --state available'), [])
  t.match(await json('account show first'), full[0]!)
  const alone = await gw('account list --state full', {
    env: { GW_CONTROL_SOCKET: `${up.config.data_dir}/nowhere.sock` },
  })
  t.match(alone, { stdout: '', stderr: /only a running daemon knows, and none answers\nno such account/ })

  const waits = up.send(hello({ stream: true }))
  await until(t, 'one waits', async () => (await up.live()).waiting === 1)
  const queue = await json<WaiterView[]>('queue list')
  matchAll(t, queue, [{ for: 'account', user: 'alice', key: 'alice', group: 'main', stream: true, waited_ms: Number }])
  t.match((await gw('queue list')).stdout, /^WAITED +FOR +USER .*\n\d+s +account +alice +alice +main /)
  t.match(await json('status'), { in_flight: 2, waiting: 1 })
  t.match((await gw('account list')).stdout, / first +full .* 1\/1 +1 /)

  await t.test('are taken back by name, and by no other', async t => {
    t.match(await gw('slots clear --account first'), {
      code: 5,
      stdout: '',
      stderr: /add --yes to take back 1 place of/,
    })
    t.match(await gw('slots clear --account frist --yes'), {
      code: 6,
      stdout: '',
      stderr: /^gw: no account "frist"; did you mean "first"\? .*\n$/,
    })
    await each(['--user nobody', '--key nobody', '--user 999999'], async which => {
      t.match(await gw(`slots clear ${which} --yes`), { code: 6, stdout: '' }, which)
    })
    // As a process leaves it that was killed: nobody will give it back.
    const { store } = up.daemon.gateway
    await store.acquire('slot:user:1', 'deadbeef0000:request', 0, 60_000)
    const left = async () => (await json<SlotView[]>('slots list')).filter(({ process }) => process === 'deadbeef0000')
    matchAll(t, await left(), [{ kind: 'user', name: 'alice', request_id: 'request', model: null, age_ms: null }])
    // Both requests have a place of their user and their key, one has the account's.
    t.match(await gw('slots clear --dry-run'), { code: 0, stdout: '6 places cleared\n', stderr: /nothing changed/ })
    t.equal((await left()).length, 1)
    t.same(await json('slots clear --user 1 --yes'), { cleared: 3 })
    t.same(await left(), [])
    t.same(await json('slots clear --key alice --yes'), { cleared: 2 })
  })
  up.mock.script(up.credential('first'), {})
  up.mock.release()
  t.equal((await held).status, 200)
  t.equal((await waits).status, 200)
  await Promise.all([(await held).text(), (await waits).text()])
})

t.test('sessions and the accounts they return to', async t => {
  const up = await gateway(t, { accounts: [{ name: 'first' }] })
  const { gw, json } = await home(t, pointedAt(up))
  t.same(await json('sticky show'), [])
  const turn = async (session: string) =>
    (await up.send(hello({ metadata: { user_id: `user_x_account__session_${session}` } }))).text()
  const [one, two] = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222']
  await turn(one)
  await turn(two)
  const shown = await json<BindingView[]>('sticky show')
  matchAll(t, shown, [
    { account: 'first', key: 'alice', group: 'main', model: hello().model, at: /Z$/ },
    { account: 'first' },
  ])
  const session = shown[1]!.session
  t.match((await gw('sticky show')).stdout, /^SESSION +MODEL +KEY +GROUP +ACCOUNT +LAST TURN\n/)
  matchAll(t, await json(['sticky', 'show', '--session', session]), [{ session }])
  t.equal((await json<unknown[]>(['sticky', 'show', '--session', session])).length, 1)
  const { id } = await findAccount(up.database.db, 'first')
  t.equal((await json<unknown[]>(`sticky show --account ${id} --key alice`)).length, 2, 'by name and by number')
  t.match(await gw('sticky show --account frist'), { code: 6, stderr: /did you mean "first"/ })
  t.match(await gw('sticky show --key nobody'), { code: 6, stdout: '' })

  t.match(await gw('sticky clear --group mian --yes'), { code: 6, stderr: /did you mean "main"/ })
  t.match(await gw('sticky clear'), { code: 5, stderr: /add --yes/ })
  t.match(await gw('sticky clear --dry-run'), { code: 0, stdout: '2 sessions cleared\n' })
  t.equal((await json<unknown[]>('sticky show')).length, 2)
  t.same(await json('sticky clear --group main --yes'), { cleared: 2 })
  t.same(await json('sticky show'), [])
  await turn(one)
  t.same(await json('sticky clear --yes'), { cleared: 1 })
  t.match(await gw('sticky show'), { code: 0, stdout: '', stderr: 'no session is bound to an account\n' })
})

t.test('an account that was refused', async t => {
  const refusal = { status: 429, headers: { 'retry-after': '3600' }, error: { message: 'slow down' } }
  const up = await gateway(t, { accounts: [{ name: 'first', script: refusal }] })
  const { gw, json } = await home(t, pointedAt(up))
  const { db } = up.database
  const refused = async () => {
    up.mock.script(up.credential('first'), refusal)
    await (await up.send(hello())).text()
    await until(t, 'the refusal is stored', async () => (await listHealth(db, new Date())).length === 1)
  }
  const { daemon } = up
  const out = () => daemon.gateway.health.ailments(1).length > 0
  await refused()

  await t.test('shows until when and why, with the daemon and without', async t => {
    const expected = [{ state: 'rate_limited', status: 'active', until: /Z$/, reason: /\S/ }]
    const live = await json<{ until: string; reason: string }[]>('account list')
    t.match(live, expected)
    matchAll(t, live, [{ slots: { used: 0, limit: 0, waiting: 0 } }])
    const away = { env: { GW_CONTROL_SOCKET: `${up.config.data_dir}/nowhere.sock` } }
    const alone = await json<{ until: string; reason: string }[]>('account list', away)
    t.match(alone, expected)
    matchAll(t, alone, [{ slots: null, until: live[0]!.until, reason: live[0]!.reason }])
    t.match((await gw('account list', away)).stdout, / first +rate_limited .* -\/∞ .* in 1h +/)
    t.match(await json('account show first', away), { state: 'rate_limited', slots: null })
    t.match((await gw('account show first')).stdout, /^until +in 1h$/m)
  })

  await t.test('comes back when it is cleared', async t => {
    t.match(await json('account clear first --dry-run'), { name: 'first', state: 'available', until: null })
    t.equal((await listHealth(db, new Date())).length, 1)
    t.match(await json('account clear first'), { name: 'first', state: 'available', until: null, reason: null })
    await until(t, 'the daemon uses it again', () => !out())
    matchAll(t, await json('account list'), [{ state: 'available' }])
    t.match(await gw('account clear frist'), { code: 6, stderr: /did you mean "first"/ })
  })

  await t.test('also out of error, but not out of a pause', async t => {
    await setAccountStatus(db, 1, 'error', 'credential refused')
    t.match(await json('account show first'), { state: 'error', reason: 'credential refused' })
    t.match(await json('account clear first'), { status: 'active', state: 'available', reason: null })
    await json('account pause first --reason invoice')
    t.match(await json('account clear first'), { status: 'paused', state: 'paused', reason: 'invoice' })
    await json('account resume first')
    await up.inForce()
  })

  await t.test('is tested with one real request, which clears it when it is answered', async t => {
    await refused()
    up.mock.record(true)
    up.mock.script(up.credential('first'), {})
    const dry = await json('account test first --dry-run')
    t.match(dry, { account: 'first', ok: true, status: 200, verdict: null, cleared: 1 })
    t.equal((await listHealth(db, new Date())).length, 1)
    const ran = await gw('account test first --model claude-x')
    t.match(ran, { code: 0, stderr: 'account "first" is cleared: 1 refusal forgotten\n' })
    t.match(ran.stdout, /^status +200$/m)
    t.match(ran.stdout, /^verdict +well$/m)
    t.match(ran.stdout, /^upstream request +req_\S+$/m)
    await until(t, 'the daemon uses it again', () => !out())
    matchAll(t, await json('account list'), [{ state: 'available' }])
  })

  await t.test('and what is wrong with it is told, never its credential', async t => {
    const quoting = `no such key ${up.credential('first')} here`
    const cases = [
      [
        { status: 401, error: { message: quoting } },
        { status: 401, verdict: { class: 'auth', scope: 'account' } },
      ],
      [
        { status: 400, error: { message: 'no' } },
        { status: 400, verdict: { class: null, reason: 'no' } },
      ],
      [refusal, { status: 429, verdict: { until: /Z$/ } }],
      [{ reset: 'start' as const }, { status: null, verdict: { class: 'network', reason: 'connection reset' } }],
      [{ close: 'start' as const }, { status: null, verdict: { class: 'network', reason: 'connection reset' } }],
      [{ errorAt: 0, error: { type: 'overloaded_error' } }, { ok: false }],
      [{ body: '<html><title>portal</title></html>' }, { status: 200, verdict: { reason: /--base-url/ } }],
    ] as const
    for (const [step, says] of cases) {
      up.mock.script(up.credential('first'), step)
      const ran = await gw('account test first --json')
      t.match(ran, { code: 1, stderr: /^gw: account "first" did not serve claude-haiku-4-5: .+\n$/ })
      t.match(JSON.parse(ran.stdout), { ok: false, cleared: 0, duration_ms: Number, ...says })
      const text = await gw('account test first --debug')
      t.equal(text.code, 1)
      t.notMatch(ran.stdout + ran.stderr + text.stdout + text.stderr, up.credential('first'))
    }
    t.match(await gw('account test nobody'), { code: 6, stdout: '' })
    await json('account set first --map claude-a=claude-b')
    t.match(await gw('account test first --model claude-c'), {
      code: 2,
      stderr: /does not serve claude-c; .*gw account models first/,
    })
    up.mock.script(up.credential('first'), {})
    t.match(await json('account test first'), { model: 'claude-a', upstream_model: 'claude-b', ok: true })
  })
})

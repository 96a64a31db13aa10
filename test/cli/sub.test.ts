// Subscriptions, through the command line and into the database.

import t from 'tap'
import { resetsAt, windowsAt } from '../../src/core/books/window.ts'
import { freshDatabase } from '../helpers/database.ts'
import { matchAll } from '../helpers/match.ts'
import { each, home } from './gw.ts'

const zone = 'Asia/Kathmandu'
const here = await home(t, { GW_DATABASE_URL: await freshDatabase(t), GW_TIMEZONE: zone })
const { gw, json } = here
const { db } = await here.open()
const DAY = 86_400_000

interface Sub {
  id: number
  user: string
  group: string
  status: string
  expires_at: string
  expires_in_days: number
}
const daysLeft = (sub: Sub) => (Date.parse(sub.expires_at) - Date.now()) / DAY

for (const user of ['alice', 'bob', 'carol', 'dave']) await json(`user add ${user}`)
await json('group add pro --platform anthropic --billing subscription --daily-limit 2 --monthly-limit 30')
await json('group add plus --platform openai --billing subscription')
await json('group add team --platform anthropic')

t.test('a subscription is assigned, and lasts 30 days', async t => {
  const sub = await json<Sub>(['sub', 'assign', '--user', 'alice', '--group', 'pro', '--note', 'order 5'])
  t.match(sub, { id: Number, user: 'alice', group: 'pro', status: 'active', expires_in_days: 30, note: 'order 5' })
  t.ok(daysLeft(sub) > 29.9 && daysLeft(sub) <= 30)
  const nothing = { used_usd: '0.00', percentage: 0, window_start: null, resets_at: null, resets_in_seconds: null }
  t.match(sub, {
    daily: { limit_usd: '2.00', remaining_usd: '2.00', ...nothing },
    weekly: null,
    monthly: { limit_usd: '30.00', remaining_usd: '30.00', ...nothing },
  })
  t.match(await json(`sub show ${sub.id}`), sub)
  t.match(await json('sub show alice/pro'), sub)
  t.match(await json('sub show --user alice --group pro'), sub)
  matchAll(t, await json('sub list'), [sub])
  const rows = await db.selectFrom('subscription_usage').selectAll().execute()
  matchAll(t, rows, [{ subscription_id: sub.id, day_start: null, day_used: 0n }])

  const table = await gw('sub list')
  t.match(
    table.stdout,
    /^ID {2}USER +GROUP .*\n +\d+ {2}alice +pro +active +in 30d +0\.00 of 2\.00 +- +0\.00 of 30\.00 +order 5\n$/,
  )
  t.match((await gw('sub show alice/pro')).stdout, /^daily +0\.00 of 2\.00 \(0%\)$/m)
})

t.test('there is one of a kind, of users and groups that take them', async t => {
  const cases = [
    [
      'sub assign --user alice --group pro',
      7,
      /has a subscription of group "pro" already; .* gw sub extend alice\/pro --days 30$/m,
    ],
    [
      'sub assign --user bob --group team',
      5,
      /"team" is billed by balance .* gw group set team --billing subscription/,
    ],
    ['sub assign --user bbo --group pro', 6, /did you mean "bob"/],
    ['sub assign --user bob --group prp', 6, /did you mean "pro"/],
    ['sub assign --user bob', 2, /--group/],
    ['sub assign --user bob --group pro --days 0', 2, /--days must be a whole number from 1 to 36500/],
    ['sub extend alice/pro --days -3', 2, /--days/],
    ['sub extend alice/pro', 2, /--days/],
    ['sub extend --user alice --days 3', 2, /USER\/GROUP/],
    ['sub extend alice/pro --user alice --days 3', 2, /USER\/GROUP/],
    ['sub show bob/pro', 6, /no subscription "bob\/pro"/],
    ['sub show 999', 6, /no subscription "999"/],
    ['sub show alice', 6, /by its number or as USER\/GROUP/],
    ['sub list --user bbo', 6, /did you mean "bob"/],
    ['sub revoke alice/pro', 5, /there is no terminal to ask on; add --yes to revoke subscription \d+ of alice/],
  ] as const
  await each(cases, async ([line, code, says]) => {
    t.match(await gw(line), { code, stdout: '', stderr: says }, line)
  })
})

t.test('a dry run leaves no trace', async t => {
  const all = () =>
    Promise.all([
      db.selectFrom('subscriptions').selectAll().orderBy('id').execute(),
      db.selectFrom('subscription_usage').selectAll().orderBy('subscription_id').execute(),
    ])
  const before = await all()
  await each(
    [
      'assign --user bob --group pro',
      'extend alice/pro --days 5',
      'revoke alice/pro',
      'assign --user bob,carol --group pro',
    ],
    async line => {
      const ran = await gw(`sub ${line} --dry-run`)
      t.match(ran, { code: 0, stderr: /^dry run: nothing changed$/m }, line)
      t.match(ran.stdout, /pro/)
    },
  )
  t.same(await all(), before)
})

t.test('several users at once, each for itself', async t => {
  const ran = await gw('sub assign --user bob --user alice --user nobody --group pro --days 7 --json')
  t.equal(ran.code, 8)
  matchAll(t, JSON.parse(ran.stdout), [{ user: 'bob', expires_in_days: 7 }])
  t.match(ran.stderr, /^gw: user "alice" has a subscription .*\ngw: no user "nobody".*\n$/)
  matchAll(t, await json('sub list --user bob'), [{ group: 'pro' }])
  matchAll(t, await json<Sub[]>('sub assign --user carol,dave --group pro'), [{ user: 'carol' }, { user: 'dave' }])
  t.match(await gw('sub assign --user carol,dave --group pro'), { code: 7, stdout: '' }, 'none is no part')
  t.equal((await json<Sub[]>('sub list --group pro')).length, 4)
})

t.test('it is extended from its end, or from now when that has passed', async t => {
  const longer = await json<Sub>('sub extend bob/pro --days 10')
  t.equal(longer.expires_in_days, 17)
  const id = longer.id
  await db
    .updateTable('subscriptions')
    .set({ expires_at: new Date(Date.now() - 5 * DAY) })
    .where('id', '=', id)
    .execute()
  t.match(await json(`sub show ${id}`), { status: 'expired', expires_in_days: 0 })
  t.same(await json('sub list --user bob'), [])
  matchAll(t, await json('sub list --user bob --all'), [{ status: 'expired' }])
  t.match(await json(`sub extend ${id} --days 3`), { status: 'active', expires_in_days: 3 })

  const capped = await gw(`sub extend ${id} --days 36500 --json`)
  t.match(capped, { code: 0, stderr: /no subscription lasts longer than 2099-12-31/ })
  t.match(JSON.parse(capped.stdout), { expires_at: '2099-12-31T23:59:59.000Z' })
})

t.test('one that has expired makes room for another', async t => {
  const old = await json<Sub>('sub show carol/pro')
  await db
    .updateTable('subscriptions')
    .set({ expires_at: new Date(Date.now() - DAY) })
    .where('id', '=', old.id)
    .execute()
  const next = await json<Sub>('sub assign --user carol --group pro --days 2')
  t.not(next.id, old.id)
  matchAll(t, await json('sub list --user carol --all'), [
    { id: old.id, status: 'expired' },
    { id: next.id, status: 'active' },
  ])
  t.match(await json('sub show carol/pro'), { id: next.id })
})

t.test('it is revoked for good', async t => {
  const { id } = await json<Sub>('sub revoke dave/pro --yes')
  t.match(await json(`sub show ${id}`), { status: 'revoked', expires_in_days: 0 })
  t.match(await json(`sub revoke ${id} --yes`), { status: 'revoked' }, 'twice is fine')
  t.match(await gw(`sub extend ${id} --days 3`), { code: 7, stderr: /gw sub assign --user dave --group pro/ })
  const next = await json<Sub>('sub assign --user dave --group pro')
  t.match(await json('sub show dave/pro'), { id: next.id })
})

t.test('what is used of its limits is shown, and nothing of a window that is over', async t => {
  const { id } = await json<Sub>('sub show alice/pro')
  const now = Date.now()
  const { start, oldest } = windowsAt(now, zone)
  const month = resetsAt(oldest.month, 'day', zone)
  const use = (day_start: number) =>
    db
      .updateTable('subscription_usage')
      .set({
        day_start: new Date(day_start),
        day_used: 500_000_000n,
        month_start: new Date(month),
        month_used: 31_000_000_000n,
      })
      .where('subscription_id', '=', id)
      .execute()
  await use(start)
  const shown = await json<{ daily: { resets_in_seconds: number } }>('sub show alice/pro')
  const iso = (at: number) => new Date(at).toISOString()
  t.match(shown, {
    daily: {
      limit_usd: '2.00',
      used_usd: '0.50',
      remaining_usd: '1.50',
      percentage: 25,
      window_start: iso(start),
      resets_at: iso(resetsAt(start, 'day', zone)),
    },
    weekly: null,
    monthly: {
      used_usd: '31.00',
      remaining_usd: '0.00',
      percentage: 103.33,
      resets_at: iso(resetsAt(month, 'month', zone)),
    },
  })
  const left = (resetsAt(start, 'day', zone) - now) / 1000
  t.ok(shown.daily.resets_in_seconds <= Math.ceil(left) && shown.daily.resets_in_seconds > left - 60)
  t.match((await gw('sub show alice/pro')).stdout, /^daily +0\.50 of 2\.00 \(25%\), resets in \d+[dhms]$/m)

  await use(windowsAt(start - 1, zone).start)
  const before = await db.selectFrom('subscription_usage').selectAll().execute()
  t.match(await json('sub show alice/pro'), {
    daily: { used_usd: '0.00', remaining_usd: '2.00', percentage: 0, window_start: null, resets_at: null },
    monthly: { used_usd: '31.00' },
  })
  t.same(await db.selectFrom('subscription_usage').selectAll().execute(), before, 'which writes nothing')
})

t.test('a key of a group of subscriptions needs one', async t => {
  const says =
    /^gw: user "bob" has no active subscription of group "plus"; gw sub assign --user bob --group plus makes one\n$/
  await json('key create --user bob --name b')
  await each(['key create --user bob --group plus', 'key set b --group plus'], async line => {
    t.match(await gw(line), { code: 5, stdout: '', stderr: says }, line)
  })
  const { id } = await json<Sub>('sub assign --user bob --group plus')
  t.match(await json('key create --user bob --group plus --name c'), { group: 'plus' })
  t.match(await json('key set b --group plus'), { group: 'plus' })
  await db
    .updateTable('subscriptions')
    .set({ expires_at: new Date(Date.now() - DAY) })
    .where('id', '=', id)
    .execute()
  t.match(await gw('key create --user bob --group plus'), { code: 5 }, 'one that runs')
  t.match(await json('key set b --quota 5'), { group: 'plus', quota: '5.00' }, 'while other changes are free')
  t.match(await json('key rotate c'), { group: 'plus' }, 'and a key that leaked can be replaced')
})

t.test('they end with their group, and with their user', async t => {
  t.equal((await gw('group set plus --billing balance')).stderr, '', 'one that has expired is no loss')
  await json('sub extend bob/plus --days 5')
  await json('group set plus --billing subscription')
  t.match(await gw('group set plus --billing balance'), {
    stderr: /subscriptions of group "plus" \(1\) count no longer/,
  })
  t.match(await gw('group set plus --billing subscription'), {
    stderr: /keys of group "plus" \(2\) now need a subscription/,
  })
  t.equal((await gw('group set plus --multiplier 2')).stderr, '')
  await json('group rm plus --yes')
  matchAll(t, await json('sub list --user bob --all'), [{ group: 'pro' }, { group: 'plus', status: 'revoked' }])
  await json('user rm bob --yes')
  const left = await json<Sub[]>('sub list --all')
  t.same(
    left.filter(sub => sub.user === 'bob').map(sub => sub.status),
    ['revoked', 'revoked'],
  )
})

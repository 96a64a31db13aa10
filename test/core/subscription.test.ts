// What a subscription's windows show at a moment, and that a user has one of a group.

import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import type { WindowName } from '../../src/core/books/window.ts'
import { addGroup } from '../../src/core/record/group.ts'
import {
  assignSubscription,
  expiresInDays,
  extendSubscription,
  findSubscription,
  lastExpiry,
  listSubscriptions,
  progress,
  revokeSubscription,
} from '../../src/core/record/subscription.ts'
import { addUser } from '../../src/core/record/user.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { freshDatabase } from '../helpers/database.ts'
import { matchAll } from '../helpers/match.ts'

const USD = 1_000_000_000n

t.test('a window shows what is used while it runs, and nothing after', async t => {
  const at = (text: string) => Date.parse(text)
  const cases: [window: WindowName, start: string | null, now: string, used: bigint, resets: string | null][] = [
    ['day', null, '2026-03-29T12:00Z', 0n, null],
    ['day', '2026-03-28T23:00Z', '2026-03-29T12:00Z', 3n, '2026-03-29T22:00Z'],
    ['day', '2026-03-28T23:00Z', '2026-03-29T21:59:59.999Z', 3n, '2026-03-29T22:00Z'],
    ['day', '2026-03-28T23:00Z', '2026-03-29T22:00Z', 0n, null],
    ['week', '2026-03-22T23:00Z', '2026-03-29T21:59:59.999Z', 3n, '2026-03-29T22:00Z'],
    ['week', '2026-03-22T23:00Z', '2026-03-29T22:00Z', 0n, null],
    ['month', '2026-02-27T23:00Z', '2026-03-29T21:59Z', 3n, '2026-03-29T22:00Z'],
    ['month', '2026-02-27T23:00Z', '2026-03-29T22:00Z', 0n, null],
  ]
  for (const [window, start, now, used, resets] of cases) {
    const spent = { limit: 4n, start: start === null ? null : new Date(start), used: 3n }
    t.match(
      progress(window, spent, at(now), 'Europe/Berlin'),
      {
        limit_usd: 4n,
        used_usd: used,
        remaining_usd: 4n - used,
        percentage: used === 0n ? 0 : 75,
        window_start: resets === null ? null : spent.start,
        resets_at: resets === null ? null : new Date(resets),
        resets_in_seconds: resets === null ? null : Math.ceil((at(resets) - at(now)) / 1000),
      },
      `${window} ${start} ${now}`,
    )
  }
  t.equal(progress('day', { limit: null, start: null, used: 5n }, 0, 'UTC'), null)
  const over = progress('day', { limit: 3n * USD, start: new Date(0), used: 4n * USD }, 1, 'UTC')
  t.match(over, { remaining_usd: 0n, percentage: 133.33 })
})

t.test('in the database', async t => {
  const env = { GW_DATABASE_URL: await freshDatabase(t), GW_DATA_DIR: t.testdir() }
  const { db, close } = await openDatabase(loadConfig({ env, flags: {} }).config)
  t.teardown(close)
  await addUser(db, { name: 'alice', concurrency: 1 })
  await addGroup(db, { name: 'pro', platform: 'anthropic', billing: 'subscription', daily_limit: USD })
  const pair = { user: 'alice', group: 'pro', days: 36_500 }

  t.test('of those who assign at the same moment one does', async t => {
    const tries = await Promise.allSettled(Array.from({ length: 8 }, () => assignSubscription(db, pair)))
    t.equal(tries.filter(one => one.status === 'fulfilled').length, 1)
    for (const one of tries) if (one.status === 'rejected') t.match(one.reason, { kind: 'conflict' })
    matchAll(t, await listSubscriptions(db), [{ user: 'alice', group: 'pro', expires_at: lastExpiry }])
    t.equal((await db.selectFrom('subscription_usage').selectAll().execute()).length, 1)
  })

  t.test('extensions at the same moment all count', async t => {
    const { id } = await findSubscription(db, 'alice/pro')
    const began = Date.now()
    await db
      .updateTable('subscriptions')
      .set({ expires_at: new Date(began + 86_400_000) })
      .execute()
    await Promise.all(Array.from({ length: 5 }, () => extendSubscription(db, String(id), 2)))
    const extended = await findSubscription(db, String(id))
    t.equal(extended.expires_at.getTime(), began + 11 * 86_400_000)
    t.equal(expiresInDays(extended, began), 11)
    t.equal(expiresInDays(extended, began + 11 * 86_400_000), 0)
  })

  t.test('one that was revoked stays so', async t => {
    await revokeSubscription(db, 'alice/pro')
    t.match(await findSubscription(db, 'alice/pro'), { status: 'revoked' })
    await t.rejects(extendSubscription(db, 'alice/pro', 2), { kind: 'conflict', message: /has ended for good/ })
    t.same(await listSubscriptions(db, { user: 'alice', group: 'pro' }), [])
    await assignSubscription(db, pair)
    matchAll(t, await listSubscriptions(db, { all: true }), [{ status: 'revoked' }, { status: 'active' }])
  })
})

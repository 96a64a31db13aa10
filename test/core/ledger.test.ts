// Balances move in one step with their entries, however many move them at once.

import { once } from 'node:events'
import pg from 'pg'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { listEntries, move } from '../../src/core/books/ledger.ts'
import { audit } from '../../src/core/record/audit.ts'
import { addUser, findUser } from '../../src/core/record/user.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { freshDatabase } from '../helpers/database.ts'
import { matchAll } from '../helpers/match.ts'

const url = await freshDatabase(t)
const { db, connection, close } = await openDatabase(
  loadConfig({ env: { GW_DATABASE_URL: url, GW_DATA_DIR: t.testdir() }, flags: {} }).config,
)
t.teardown(close)
const balanceOf = async (name: string) => (await findUser(db, name)).balance

t.test('forty movements over many connections all count, and form one chain', async t => {
  const { id } = await addUser(db, { name: 'alice', balance: 5n, concurrency: 1 })
  const moves = Array.from({ length: 40 }, (_, n) => (n % 4 === 0 ? -3n : BigInt(n)))
  const moved = await Promise.all(
    moves.map(amount => move(db, { user: id, amount, kind: amount < 0n ? 'adjustment' : 'topup', actor: 'test' })),
  )
  const sum = moves.reduce((a, b) => a + b, 5n)
  t.equal(await balanceOf('alice'), sum)
  t.equal(new Set(moved.map(({ entry }) => entry)).size, 40)
  for (const { before, balance } of moved)
    t.ok(moved.some(other => other.before === balance) || balance === sum, `${before}`)
  matchAll(t, await audit(db), { users: 1, entries: 41, given: sum, balance: sum, differences: [] })
})

t.test('whoever reads a page reads it in the order of the chain', async t => {
  const { id } = await findUser(db, 'alice')
  const all = await listEntries(db, { user: id, limit: 100 })
  t.equal(all.length, 41)
  for (const [n, entry] of all.entries())
    if (entry.balance !== (all[n + 1]?.balance ?? 0n) + entry.amount) t.fail(`${n}`)
  t.same(await listEntries(db, { user: id, limit: 3, before: all[9]!.entry_id }), all.slice(10, 13))
  await t.rejects(listEntries(db, { user: id, limit: 3, before: 'x' }), { kind: 'missing', message: /no entry "x"/ })
  t.equal((await listEntries(db, { user: id, limit: 100, kind: 'opening' })).length, 1)
})

t.test('what is rolled back leaves neither', async t => {
  const { id } = await addUser(db, { name: 'bob', concurrency: 1 })
  t.same(await listEntries(db, { user: id, limit: 9 }), [], 'a balance of zero is no movement')
  await t.rejects(
    db.transaction().execute(async tx => {
      await move(tx, { user: id, amount: 7n, kind: 'topup' })
      t.equal((await findUser(tx, 'bob')).balance, 7n)
      throw new Error('changed my mind')
    }),
    /changed my mind/,
  )
  t.equal(await balanceOf('bob'), 0n)
  t.same(await listEntries(db, { user: id, limit: 9 }), [])
})

t.test('a floor holds for what takes, not for what gives', async t => {
  const { id } = await findUser(db, 'bob')
  await move(db, { user: id, amount: -100n, kind: 'adjustment' })
  t.match(await move(db, { user: id, amount: 50n, kind: 'topup', floor: 0n }), { before: -100n, balance: -50n })
  await t.rejects(move(db, { user: id, amount: -1n, kind: 'adjustment', floor: 0n }), {
    kind: 'refused',
    message: /may not fall below 0\.00/,
  })
  await move(db, { user: id, amount: 60n, kind: 'topup' })
  t.match(await move(db, { user: id, amount: -10n, kind: 'adjustment', floor: 0n }), { balance: 0n })
  await move(db, { user: id, amount: 2n ** 63n - 1n, kind: 'topup' })
  await t.rejects(move(db, { user: id, amount: 1n, kind: 'topup' }), { kind: 'refused', message: /a balance ends at/ })
  await t.rejects(move(db, { user: 0, amount: 1n, kind: 'topup' }))
  await move(db, { user: id, amount: 1n - 2n ** 63n, kind: 'adjustment' })
})

t.test('every process hears of it', async t => {
  const { id } = await findUser(db, 'bob')
  const listener = new pg.Client(connection)
  await listener.connect()
  t.teardown(() => listener.end())
  await listener.query('listen gw_money')
  const heard = once(listener, 'notification')
  await move(db, { user: id, amount: 1n, kind: 'topup' })
  matchAll(t, await heard, [{ payload: String(id) }])
})

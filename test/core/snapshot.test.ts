// Snapshots: what is read of a few changed rows is what a full load says, and each says one state of the database.
import { randomInt } from 'node:crypto'
import { type KyselyPlugin, sql } from 'kysely'
import pino from 'pino'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { advanceSnapshot, forgetChanges, loadSnapshot } from '../../src/core/read-snapshot.ts'
import { addAccount, removeAccount, setAccount, setAccountStatus, setAccounts } from '../../src/core/record/account.ts'
import { addGroup, removeGroup, setGroup } from '../../src/core/record/group.ts'
import { createKey, revokeKey, rotateKey, setKey, setKeys } from '../../src/core/record/key.ts'
import { accountList, groupList, keyList, userList } from '../../src/core/record/lists.ts'
import {
  assignSubscription,
  extendSubscription,
  listSubscriptions,
  revokeSubscription,
} from '../../src/core/record/subscription.ts'
import { addUser, removeUser, setUser, setUsers } from '../../src/core/record/user.ts'
import { type AccountFacts, credentialOf, digestKey, Snapshot } from '../../src/core/snapshot.ts'
import { followSnapshots } from '../../src/daemon/snapshots.ts'
import { type Database, type Db, openDatabase } from '../../src/db/connect.ts'
import { openEars } from '../../src/db/listen.ts'
import { Refusal } from '../../src/lib/refusal.ts'
import { secretFrom } from '../../src/lib/secret.ts'
import { byClass } from '../../src/platform/state.ts'
import { freshDatabase } from '../helpers/database.ts'
import { until } from '../helpers/gateway.ts'

const secret = secretFrom(Buffer.alloc(32, 7))

async function database(t: Test): Promise<Database> {
  const config = { ...loadConfig({ env: {}, flags: {} }).config, 'database.url': await freshDatabase(t) }
  const database = await openDatabase(config, { migrate: false })
  t.teardown(() => database.close())
  return database
}

/** All that a snapshot says, as plain data in a fixed order. */
function said(snapshot: Snapshot): object {
  const { parts } = snapshot
  const byId = <T extends { id: number }>(list: Iterable<T>) => [...list].sort((a, b) => a.id - b.id)
  const account = (a: AccountFacts) => ({
    ...a,
    models: [[...a.models.listed].sort(), a.models.all, a.models('claude-x'), a.models('m1')],
    credential: credentialOf(a).reveal(),
    groups: snapshot.groupsOf(a.id),
  })
  const [users, groups] = [byId(snapshot.users.values()), byId(snapshot.groups.values())]
  return {
    users,
    groups: groups.map(g => ({ ...g, pool: snapshot.pool(g.id).map(account) })),
    accounts: byId(snapshot.accounts.values()).map(account),
    open: (['anthropic', 'openai'] as const).map(platform => snapshot.ungrouped(platform).map(account)),
    keys: byId([...parts.keys.keys()].map(digest => snapshot.key(digest)!)).map(k => ({
      ...k,
      here: k.allows('10.1.2.3'),
      there: k.allows('192.0.2.1'),
    })),
    sizes: [parts.users, parts.groups, parts.accounts, parts.keys].map(map => [map.size, [...map].length]),
    subscriptions: users.flatMap(u => groups.map(g => [u.id, g.id, snapshot.subscription(u.id, g.id) ?? null])),
    prices: snapshot.prices.all(),
    problems: [...snapshot.problems].sort(([a], [b]) => a - b),
  }
}

const listUsers = async (db: Db) => (await userList(db)).execute()
const listGroups = async (db: Db) => (await groupList(db)).execute()
const listKeys = async (db: Db) => (await keyList(db)).execute()
const listAccounts = async (db: Db) => (await accountList(db, { byClass, now: new Date() })).execute()

const one = <T>(of: readonly T[]): T => of[randomInt(Math.max(1, of.length))]!
const names = ['a', 'b', 'c', 'd', 'e', 'f']
const some = <T>(of: readonly T[]): T[] => of.filter(() => randomInt(2) === 0)

/** One of all the things that operators do. Refusals are theirs to see. */
async function something(db: Db): Promise<string> {
  const of = async (list: Promise<{ id: number }[]>) => String(one(await list)?.id ?? 0)
  const platform = one(['anthropic', 'openai'] as const)
  const groupNames = async () =>
    some((await listGroups(db)).filter(g => g.platform === platform)).map(g => String(g.id))
  const name = one(names)
  const things: Record<string, () => Promise<unknown>> = {
    'user add': () => addUser(db, { name, concurrency: randomInt(4), balance: 0n }),
    'user set': async () => setUser(db, await of(listUsers(db)), { concurrency: randomInt(9), name: one(names) }),
    'user rm': async () => randomInt(3) === 0 && removeUser(db, await of(listUsers(db))),
    'group add': () =>
      addGroup(db, {
        name,
        platform,
        exclusive: randomInt(2) === 0,
        billing: one(['balance', 'subscription'] as const),
      }),
    'group set': async () =>
      setGroup(db, await of(listGroups(db)), {
        exclusive: randomInt(2) === 0,
        multiplier: String(randomInt(9)),
        daily_limit: 5n,
      }),
    'group rename': async () => setGroup(db, await of(listGroups(db)), { name: one(names) }),
    'group rm': async () => randomInt(3) === 0 && removeGroup(db, await of(listGroups(db))),
    'account add': async () =>
      addAccount(db, secret, {
        name,
        platform,
        type: 'apikey',
        credential: `secret of ${name}`,
        concurrency: randomInt(4),
        priority: 1 + randomInt(3),
        groups: await groupNames(),
        model_map: one([{}, { m1: 'other' }, { 'claude-*': 'x/*' }]),
      }),
    'account set': async () =>
      setAccount(db, secret, await of(listAccounts(db)), { credential: one(names), priority: 1 + randomInt(5) }),
    'account bind': async () => setAccount(db, secret, await of(listAccounts(db)), { groups: await groupNames() }),
    'accounts set': async () => {
      const these = some(await listAccounts(db))
      const bound = randomInt(2) === 0 ? { groups: await groupNames() } : {}
      return setAccounts(db, secret, these, { priority: 1 + randomInt(9), ...bound })
    },
    'keys set': async () => setKeys(db, some(await listKeys(db)), { rpm: randomInt(1, 99), group: one([null, name]) }),
    'users set': async () => {
      const these = some(await listUsers(db)).map(user => user.id)
      return setUsers(db, these, { concurrency: randomInt(9), status: one(['active', 'disabled']) })
    },
    'account error': async () => setAccountStatus(db, Number(await of(listAccounts(db))), 'error', 'no'),
    'account spoilt': async () =>
      db
        .updateTable('accounts')
        .set({ credential: Buffer.from('spoilt') })
        .where('id', '=', Number(await of(listAccounts(db))))
        .execute(),
    'account rm': async () => randomInt(3) === 0 && removeAccount(db, await of(listAccounts(db))),
    'key create': async () => {
      const groups = (await listGroups(db)).filter(g => g.billing === 'balance').map(g => String(g.id))
      return createKey(db, secret, {
        user: await of(listUsers(db)),
        group: one([...groups, undefined]),
        valuePrefix: 'sk-',
        allow_ip: one([[], ['10.0.0.0/8']]),
      })
    },
    'key set': async () =>
      setKey(db, await of(listKeys(db)), { rpm: randomInt(1, 9), models: some(['m1', 'm2']), group: null }),
    'key rotate': async () =>
      rotateKey(db, secret, await of(listKeys(db)), {
        graceMs: one([0, 1000]),
        valuePrefix: 'sk-',
        now: Date.now(),
      }),
    'key revoke': async () => revokeKey(db, await of(listKeys(db))),
    'sub assign': async () => {
      const groups = (await listGroups(db)).filter(g => g.billing === 'subscription')
      return assignSubscription(db, {
        user: await of(listUsers(db)),
        group: String(one(groups)?.id ?? 0),
        days: 1 + randomInt(9),
      })
    },
    'sub extend': async () => extendSubscription(db, await of(listSubscriptions(db)), 3),
    'sub revoke': async () => revokeSubscription(db, await of(listSubscriptions(db))),
    'price set': () =>
      db
        .insertInto('prices')
        .values({ model: one(['m1', 'm2']), input: BigInt(randomInt(9)), output: 1n, tier: null })
        .execute(),
    'price rm': () => db.deleteFrom('prices').where('model', '=', 'm1').execute(),
    // What psql can do, and gw does not.
    'key moved': async () =>
      db
        .updateTable('api_keys')
        .set({ digest: Buffer.from(String(randomInt(1e9))) })
        .where('id', '=', Number(await of(listKeys(db))))
        .execute(),
    'all at once': () =>
      db
        .updateTable('api_keys')
        .set({ rpm: randomInt(1, 9) })
        .execute(),
    nothing: () => db.updateTable('users').set({ name: 'x' }).where('id', '=', 0).execute(),
  }
  const thing = one(Object.keys(things))
  try {
    await things[thing]!()
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
  }
  return thing
}

/** What has become of it, by rows where they tell it, else by a full load. */
const advanced = async (db: Db, before: Snapshot) =>
  (await advanceSnapshot(db, secret, before)) ?? loadSnapshot(db, secret, before)

t.test('whatever is changed, the changed rows lead to what a full load says', async t => {
  const { db } = await database(t)
  for (const name of names.slice(0, 3)) {
    await addUser(db, { name, concurrency: 0, balance: 0n })
    await addGroup(db, { name, platform: 'anthropic' })
    const account = { platform: 'anthropic', type: 'apikey', credential: 'x', concurrency: 0, priority: 1 } as const
    await addAccount(db, secret, { ...account, name, groups: [name] })
  }
  let snapshot = await loadSnapshot(db, secret)
  const done: string[] = []
  let [byRows, keys, accounts] = [0, 0, 0]
  let round = 0
  // Chance decides what is done: until enough of it was.
  for (; round < 80 || (round < 2_000 && (keys <= 3 || accounts <= 3)); round++) {
    for (let n = randomInt(1, 4); n > 0; n--) done.push(await something(db))
    const before = JSON.stringify(said(snapshot), plain)
    const next = await advanceSnapshot(db, secret, snapshot)
    if (next) byRows++
    t.equal(JSON.stringify(said(snapshot), plain), before, 'the snapshot before is not touched')
    snapshot = next ?? (await loadSnapshot(db, secret, snapshot))
    keys = Math.max(keys, snapshot.keyCount)
    accounts = Math.max(accounts, snapshot.accounts.size)
    const [now, full] = [said(snapshot), said(await loadSnapshot(db, secret))]
    if (!t.strictSame(now, full, `after ${done.slice(-3).join(', ')}`)) return
  }
  t.ok(byRows > round / 2, `${byRows} of ${round} by rows`)
  t.ok(keys > 3 && accounts > 3, `there were up to ${keys} keys and ${accounts} accounts`)
})
const plain = (_name: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)

t.test('transactions that overlap: none is missed and none is seen before it is committed', async t => {
  const { db, connection } = await database(t)
  void connection
  await addUser(db, { name: 'first', concurrency: 1, balance: 0n })
  await addUser(db, { name: 'second', concurrency: 1, balance: 0n })
  let snapshot = await loadSnapshot(db, secret)
  const begun = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  const long = db.transaction().execute(async tx => {
    await setUser(tx, 'first', { concurrency: 7 })
    begun.resolve()
    await go.promise
  })
  await begun.promise
  await setUser(db, 'second', { concurrency: 8 })
  const limits = () => [...snapshot.users.values()].map(u => u.concurrency)
  snapshot = await advanced(db, snapshot)
  t.strictSame(limits(), [1, 8], 'the later one is committed, the earlier one is not')
  t.equal(await advanceSnapshot(db, secret, snapshot), snapshot, 'nothing new')
  go.resolve()
  await long
  snapshot = await advanced(db, snapshot)
  t.strictSame(limits(), [7, 8], 'though it began before the last snapshot')
  t.equal(await advanceSnapshot(db, secret, snapshot), snapshot)
})

/** Counts rows as they come from Postgres. */
function counting(db: Database['db']): { db: Database['db']; rows: () => number } {
  let rows = 0
  const plugin: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      rows += result.rows.length
      return result
    },
  }
  return { db: db.withPlugin(plugin), rows: () => rows }
}

/** Some thousands of everything, as a bulk import makes it. */
async function fill(db: Database['db'], accounts: number, keys: number): Promise<void> {
  await addUser(db, { name: 'u', concurrency: 0, balance: 0n })
  await addGroup(db, { name: 'g', platform: 'anthropic' })
  await sql`insert into accounts (name, platform, type, credential, concurrency, priority)
    select 'a' || n, 'anthropic', 'apikey', ${secret.encrypt('x')}::bytea, 0, 50 from generate_series(1, ${accounts}::integer) n`.execute(
    db,
  )
  await sql`insert into account_groups select a.id, g.id from accounts a, groups g`.execute(db)
  await sql`insert into api_keys (user_id, group_id, name, prefix, digest)
    select u.id, g.id, 'k' || n, 'sk-', sha256(n::text::bytea) from users u, groups g, generate_series(1, ${keys}::integer) n`.execute(
    db,
  )
}

t.test('one change among thousands of rows reads few of them, and shares the rest', async t => {
  const { db } = await database(t)
  await fill(db, 1_200, 3_000)
  let snapshot = await loadSnapshot(db, secret)
  t.strictSame([snapshot.accounts.size, snapshot.keyCount, snapshot.pool(1).length], [1_200, 3_000, 1_200])
  const changes: Record<string, { work: () => Promise<unknown>; rows: number }> = {
    'a key is created': { work: () => createKey(db, secret, { user: 'u', group: 'g', valuePrefix: 'sk-' }), rows: 2 },
    'a key is revoked': { work: () => revokeKey(db, 'k7'), rows: 2 },
    'a user is changed': { work: () => setUser(db, 'u', { concurrency: 5 }), rows: 2 },
    'a group is changed': { work: () => setGroup(db, 'g', { multiplier: '3' }), rows: 2 },
    'an account is changed': { work: () => setAccount(db, secret, 'a9', { priority: 3 }), rows: 3 },
    'an account leaves': { work: () => setAccount(db, secret, 'a8', { groups: [] }), rows: 4 },
    // Each with its bindings, and what says which they are.
    'a thousand accounts are changed': {
      work: () => db.updateTable('accounts').set({ priority: 7 }).where('id', '<=', 1_000).execute(),
      rows: 2_000,
    },
  }
  for (const [name, { work, rows }] of Object.entries(changes)) {
    await work()
    const counted = counting(db)
    const next = (await advanceSnapshot(counted.db, secret, snapshot))!
    t.ok(next && next !== snapshot, name)
    t.ok(counted.rows() <= rows, `${name}: ${counted.rows()} rows`)
    const kept = [...next.accounts].filter(([id, account]) => snapshot.accounts.get(id) === account)
    t.ok(kept.length >= (rows < 100 ? 1_199 : 200), `${name}: accounts are the same`)
    if (!name.includes('account')) t.equal(next.pool(1), snapshot.pool(1), `${name}: the pool is the same`)
    snapshot = next
  }
  t.strictSame(said(snapshot), said(await loadSnapshot(db, secret)))
})

t.test('a full load decrypts only what is new', async t => {
  const { db } = await database(t)
  await fill(db, 700, 1)
  let decrypted = 0
  const counted = {
    ...secret,
    decrypt: (sealed: Uint8Array) => {
      decrypted++
      return secret.decrypt(sealed)
    },
  }
  const first = await loadSnapshot(db, counted)
  t.equal(decrypted, 700)
  await setAccount(db, secret, 'a3', { credential: 'new' })
  const second = await loadSnapshot(db, counted, first)
  t.equal(decrypted, 701)
  t.equal(credentialOf(second.pool(1)[2]!).reveal(), 'new')
  t.equal(credentialOf(second.pool(1)[1]!).reveal(), 'x')
})

t.test('a full load keeps the keys that are as they were, and none that are gone', async t => {
  const { db } = await database(t)
  await fill(db, 1, 900)
  const first = await loadSnapshot(db, secret)
  await setKey(db, 'k5', { rpm: 7 })
  const second = await loadSnapshot(db, secret, first)
  const kept = [...second.parts.keys].filter(([digest, key]) => first.parts.keys.get(digest) === key)
  t.equal(kept.length, 899)
  t.strictSame(said(second), said(await loadSnapshot(db, secret)))
  await db.deleteFrom('api_keys').where('name', '=', 'k6').execute()
  t.equal(await advanceSnapshot(db, secret, second), undefined, 'rows do not tell it')
  const third = await loadSnapshot(db, secret, second)
  t.equal(third.keyCount, 899)
  t.strictSame(said(third), said(await loadSnapshot(db, secret)))
})

t.test('an exclusive group keeps its accounts from keys without a group', async t => {
  const { db } = await database(t)
  const account = { platform: 'anthropic', type: 'apikey', credential: 'x', concurrency: 0, priority: 1 } as const
  await addGroup(db, { name: 'g', platform: 'anthropic' })
  await addAccount(db, secret, { ...account, name: 'a', groups: ['g'] })
  await addAccount(db, secret, { ...account, name: 'b' })
  let snapshot = await loadSnapshot(db, secret)
  const see = async () => {
    snapshot = (await advanceSnapshot(db, secret, snapshot))!
    return [snapshot.pool(1), snapshot.ungrouped('anthropic')].map(pool => pool.map(a => a.name).join())
  }
  t.strictSame(await see(), ['a', 'a,b'])
  await setGroup(db, 'g', { exclusive: true })
  t.strictSame(await see(), ['a', 'b'])
  await setAccount(db, secret, 'b', { groups: ['g'] })
  t.strictSame(await see(), ['a,b', ''])
  await setGroup(db, 'g', { exclusive: false })
  t.strictSame(await see(), ['a,b', 'a,b'])
  await setGroup(db, 'g', { exclusive: true })
  await removeAccount(db, 'a')
  t.strictSame(await see(), ['b', ''])
  await removeGroup(db, 'g')
  t.strictSame(await see(), ['', 'b'])
})

t.test('a key leads to its user and group of the snapshot that is asked', async t => {
  const { db } = await database(t)
  await addUser(db, { name: 'u', concurrency: 1, balance: 0n })
  await addGroup(db, { name: 'g', platform: 'anthropic' })
  const { key } = await createKey(db, secret, { user: 'u', group: 'g', valuePrefix: 'sk-' })
  const digest = digestKey(secret.digest(key))
  const before = await loadSnapshot(db, secret)
  await setUser(db, 'u', { concurrency: 2 })
  await removeGroup(db, 'g')
  const after = await advanced(db, before)
  for (let i = 0; i < 2; i++) {
    t.match(before.key(digest), { user: { concurrency: 1 }, group: { name: 'g' } })
    t.match(after.key(digest), { user: { concurrency: 2 }, group: null })
    t.equal(after.key(digest), after.key(digest), 'made once')
  }
})

t.test('what is followed: every change comes, in order, also over a lost connection, and old changes go', async t => {
  const { db, ...rest } = await database(t)
  const seen: Snapshot[] = []
  const log = pino({ level: 'silent' })
  const ears = await openEars(rest.connection, { log() {} })
  t.teardown(() => ears.close())
  const followed = await followSnapshots({ db }, ears, secret, log, next => seen.push(next))
  t.teardown(() => followed.close())
  for (let n = 1; n <= 20; n++) {
    await addUser(db, { name: `u${n}`, concurrency: 0, balance: 0n })
    await addGroup(db, { name: `g${n}`, platform: 'anthropic' })
  }
  await until(t, 'all are there', () => seen.at(-1)?.groups.size === 20)
  for (const snapshot of seen) {
    const [users, groups] = [snapshot.users.size, snapshot.groups.size]
    t.ok(
      users === groups || users === groups + 1,
      `never a group (${groups}) before the user (${users}) that came first`,
    )
  }
  await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'gw listen' and datname = current_database()`.execute(
    db,
  )
  await addGroup(db, { name: 'unheard', platform: 'anthropic' })
  await until(t, 'it is heard again', () => seen.at(-1)?.groups.size === 21)
  t.equal(followed.stale(), undefined)

  const count = async () => Number((await sql<{ n: number }>`select count(*) as n from changes`.execute(db)).rows[0]!.n)
  const old = seen.at(-1)!
  t.ok((await count()) >= 41)
  await addUser(db, { name: 'later', concurrency: 0, balance: 0n })
  await forgetChanges(db, old.at)
  t.equal(await count(), 1, 'what came later stays')
  t.equal((await advanceSnapshot(db, secret, old))?.users.size, 21)
  t.equal(
    await advanceSnapshot(db, secret, seen[0]!),
    undefined,
    'who has not read what is forgotten has to read everything',
  )
  await forgetChanges(db, seen[0]!.at)
  t.equal(await advanceSnapshot(db, secret, seen[0]!), undefined, 'also when another, behind this one, forgets later')
})

t.test('of a database that was put back, or is from another server, everything is read', async t => {
  const { db } = await database(t)
  const changed = async (before: Snapshot) => {
    await addUser(db, { name: one(names) + randomInt(1e9), concurrency: 0, balance: 0n })
    return advanceSnapshot(db, secret, before)
  }
  const now = await loadSnapshot(db, secret)
  t.equal((await changed(now))?.users.size, 1)
  const [least, most] = now.at.split(':')
  const later = new Snapshot({ ...now.parts, at: `${least}:${BigInt(most!) + 1_000_000n}:` })
  t.equal(await changed(later), undefined, 'what was read lies ahead of it')

  // As pg_restore writes them.
  const far = '99999999999'
  await sql`insert into changes (xid, name) values (${far}::xid8, 'users')`.execute(db)
  await sql`insert into changes_forgotten (at) values (${`${far}:${far}:`}::pg_snapshot)`.execute(db)
  t.ok(await changed(now), 'a change of another server is none here, and what it forgot is not missed')
  await forgetChanges(db, now.at)
  const { rows } = await sql`select from changes where xid = ${far}::xid8`.execute(db)
  t.equal(rows.length, 0)
  t.equal((await sql<{ at: string }>`select at::text from changes_forgotten`.execute(db)).rows[0]!.at, now.at)
})

t.test('a transaction is heard once, and what comes during a read is read together', async t => {
  const { db, ...rest } = await database(t)
  await fill(db, 3, 30)
  const ears = await openEars(rest.connection, { log() {} })
  t.teardown(() => ears.close())
  let heard = 0
  await ears.hear('gw_changed', () => heard++)
  await db.transaction().execute(async tx => {
    await addUser(tx, { name: 'v', concurrency: 0, balance: 0n })
    for (let n = 1; n <= 30; n++) await setKey(tx, `k${n}`, { rpm: n, models: ['m'] })
    await setAccount(tx, secret, 'a1', { groups: [], priority: 9 })
  })
  await addGroup(db, { name: 'last', platform: 'anthropic' })
  await until(t, 'the last one', () => heard >= 2)
  t.equal(heard, 2)

  const counted = counting(db)
  const seen: Snapshot[] = []
  const followed = await followSnapshots({ db: counted.db }, ears, secret, pino({ level: 'silent' }), next =>
    seen.push(next),
  )
  t.teardown(() => followed.close())
  // The next read waits for this table, and all else happens meanwhile.
  const stop = Promise.withResolvers<void>()
  const stopped = Promise.withResolvers<void>()
  const standing = db.transaction().execute(async tx => {
    await sql`lock table subscriptions in access exclusive mode`.execute(tx)
    await tx.updateTable('subscriptions').set({ note: null }).execute()
    await sql`insert into changes (name, ids) values ('subscriptions', '{1}')`.execute(tx)
    stopped.resolve()
    await stop.promise
  })
  await stopped.promise
  await sql`insert into changes (name, ids) values ('subscriptions', '{1}')`.execute(db)
  await setUser(db, 'u', { concurrency: 77 })
  await until(t, 'it stands', async () => {
    const { rows } = await sql`select from pg_locks where not granted and relation = 'subscriptions'::regclass`.execute(
      db,
    )
    return rows.length === 1
  })
  heard = 0
  for (let n = 1; n <= 30; n++) await setKey(db, `k${n}`, { rpm: 1_000 + n })
  await until(t, 'all are heard', () => heard >= 30)
  stop.resolve()
  await standing
  const rpm = (snapshot: Snapshot | undefined) =>
    [...(snapshot?.keys() ?? [])].filter(key => (key.rpm ?? 0) > 1_000).length
  await until(t, 'all are read', () => rpm(seen.at(-1)) === 30)
  t.strictSame(seen.map(rpm), [0, 30])
})

t.test('a notification that is lost is not missed for long', async t => {
  const { db, ...rest } = await database(t)
  const ears = await openEars(rest.connection, { log() {} })
  t.teardown(() => ears.close())
  let heard = 0
  await ears.hear('gw_changed', () => heard++)
  let users = 0
  const followed = await followSnapshots(
    { db },
    ears,
    secret,
    pino({ level: 'silent' }),
    next => {
      users = next.users.size
    },
    { lookMs: 20 },
  )
  t.teardown(() => followed.close())
  const { rows } = await sql<{ text: string }>`select pg_get_functiondef('gw_changed()'::regprocedure) as text`.execute(
    db,
  )
  await sql.raw(rows[0]!.text.replace(/perform pg_notify[^;]*;/, '')).execute(db)
  await addUser(db, { name: 'unheard', concurrency: 0, balance: 0n })
  await until(t, 'it is found', () => users === 1)
  t.equal(heard, 0)
})

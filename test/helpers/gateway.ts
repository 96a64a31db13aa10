// A whole gateway for a test: daemon in this process, real Postgres, the scripted provider as its far side.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import pino, { type Logger } from 'pino'
import type { Test } from 'tap'
import { type LoadOptions, loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { controlClient } from '../../src/control/client.ts'
import type { LiveView } from '../../src/control/view.ts'
import { addAccount, setAccount, setAccountStatus } from '../../src/core/record/account.ts'
import { addGroup, type NewGroup } from '../../src/core/record/group.ts'
import { clearHealth } from '../../src/core/record/health.ts'
import { createKey, revokeKey, setKey } from '../../src/core/record/key.ts'
import { addUser, setUser } from '../../src/core/record/user.ts'
import { listUsage, type UsageRecord } from '../../src/core/usage/rows.ts'
import { type Daemon, startDaemon } from '../../src/daemon/main.ts'
import { type Database, type Db, openDatabase } from '../../src/db/connect.ts'
import type { Fetching } from '../../src/gateway/gateway.ts'
import { parseUsd } from '../../src/lib/money.ts'
import { openSecret, type Secret } from '../../src/lib/secret.ts'
import { type Mock, startMock } from '../../src/mock/server.ts'
import type { Step } from '../../src/mock/step.ts'
import { freshDatabase } from './database.ts'

export interface AccountSetup {
  name?: string
  /** what the provider does for this account's credential */
  script?: Step | Step[]
  concurrency?: number
  priority?: number
  models?: Record<string, string>
  baseUrl?: string
  oauth?: boolean
}

export interface Setup {
  accounts?: AccountSetup[]
  user?: { concurrency?: number; balance?: string }
  config?: Partial<Config>
  /** of group main; models without a price are free there, and a client that leaves ends its upstream at once */
  group?: Omit<NewGroup, 'name' | 'platform'>
  log?: Logger
  /** of media that clients name by URL */
  fetching?: Fetching
  /** between two heartbeats on Postgres */
  beatMs?: number
  /** where its configuration is read, also again; `config` goes over that, until a reload finds another value than before */
  read?: Pick<LoadOptions, 'env' | 'file'>
  /** the wall clock of its machine */
  now?: () => number
}

/** Accounts that serve this model and no other: what a case does to its accounts stays its own. */
export const only = (model: string, ...accounts: AccountSetup[]): AccountSetup[] =>
  accounts.map((account, i) => ({
    name: `${model.replaceAll(/\W+/g, '-')}-${i + 1}`,
    models: { [model]: model },
    ...account,
  }))

/** A gateway, and everything around it that a test looks at. */
export interface TestGateway {
  daemon: Daemon
  url: string
  /** a key of user `alice`, bound to group `main` */
  key: string
  mock: Mock
  database: Database
  secret: Secret
  config: Config
  /** the credential of an account, by which the mock knows it */
  credential(account: string): string
  send(body: object | Buffer | string, options?: SendOptions): Promise<Response>
  live(): Promise<LiveView>
  /** every account is well again, as after `gw account clear` */
  heal(): Promise<void>
  /** usage rows, newest first, once there are at least `n` of them */
  usage(n: number): Promise<UsageRecord[]>
  /** resolves when the daemon serves from what is in the database now */
  inForce(): Promise<void>
  /** changes as commands make them; in force when they resolve */
  set: {
    account(name: string, change: Parameters<typeof setAccount>[3]): Promise<unknown>
    user(name: string, change: Parameters<typeof setUser>[2]): Promise<unknown>
    key(name: string, change: Parameters<typeof setKey>[2]): Promise<unknown>
    revoke(name: string): Promise<unknown>
  }
}

const credential = (account: string) => `cred-${account}`

/** Makes user `alice`, group `main` and its accounts, and gives alice's key. */
export async function populate(db: Db, secret: Secret, mock: Mock, setup: Setup): Promise<string> {
  await addUser(db, {
    name: 'alice',
    concurrency: setup.user?.concurrency ?? 0,
    balance: parseUsd(setup.user?.balance ?? '1000'),
  })
  await addGroup(db, {
    name: 'main',
    platform: 'anthropic',
    unknown_model: 'free',
    on_disconnect: 'abort',
    ...setup.group,
  })
  for (const [i, a] of (setup.accounts ?? [{}]).entries()) {
    const name = a.name ?? `a${i + 1}`
    await addAccount(db, secret, {
      name,
      platform: 'anthropic',
      type: a.oauth ? 'oauth' : 'apikey',
      credential: a.oauth ? JSON.stringify({ access_token: credential(name) }) : credential(name),
      base_url: a.baseUrl ?? mock.url,
      concurrency: a.concurrency ?? 0,
      priority: a.priority ?? 50,
      groups: ['main'],
      model_map: a.models ?? {},
    })
    if (a.script) mock.script(credential(name), a.script)
  }
  return (await createKey(db, secret, { user: 'alice', group: 'main', name: 'alice', valuePrefix: 'sk-' })).key
}

export interface SendOptions {
  path?: string
  method?: string
  key?: string | null
  headers?: Record<string, string>
  signal?: AbortSignal
}

/** Everything is taken down at the end of the test; a slot, a socket or a request left open then fails it. */
export async function gateway(t: Test, setup: Setup = {}): Promise<TestGateway> {
  const folder = mkdtempSync(path.join(tmpdir(), 'gwt-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const load = () => loadConfig({ env: {}, ...setup.read, flags: { data_dir: folder } })
  const source = { first: load(), again: load }
  const config: Config = {
    ...source.first.config,
    'database.url': await freshDatabase(t),
    listen: { host: '127.0.0.1', port: 0 },
    'ops.listen': { host: '127.0.0.1', port: 0 },
    'usage.flush_interval': 10,
    // The provider is asked what a test asks, and nothing else.
    'models.refresh_interval': 0,
    ...setup.config,
  }
  const mock = await startMock({ keep: 4_000 })
  t.teardown(() => mock.close())
  const database = await openDatabase(config, { migrate: false })
  t.teardown(() => database.close())
  const secret = openSecret(config['secret.key_file'])
  const { db } = database
  const key = await populate(db, secret, mock, setup)
  const log = setup.log ?? pino({ level: 'silent' })
  const daemon = await startDaemon(config, {
    log,
    access: log,
    source,
    beatMs: setup.beatMs,
    now: setup.now,
    fetching: setup.fetching,
  })
  t.teardown(async () => {
    await nothingHeld(t, daemon, mock).finally(() => daemon.stop(0))
  })

  // A snapshot is read whole: one that knows the newest group knows every change made before it.
  let marks = 0
  const inForce = async () => {
    const { id } = await addGroup(db, { name: `mark${++marks}`, platform: 'anthropic' })
    await until(t, 'the daemon hears of the change', () => daemon.gateway.snapshot.groups.has(id))
  }
  const changed = async (work: Promise<unknown>) => {
    await work
    await inForce()
  }
  return {
    daemon,
    url: daemon.url,
    key,
    mock,
    database,
    secret,
    config,
    credential,
    send: (body, options = {}) =>
      fetch(daemon.url + (options.path ?? '/v1/messages'), {
        method: options.method ?? 'POST',
        headers: {
          'content-type': 'application/json',
          ...(options.key === null ? {} : { 'x-api-key': options.key ?? key }),
          ...options.headers,
        },
        ...(options.method === 'GET'
          ? {}
          : { body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body) }),
        // A request that hangs fails its own test, and soon.
        signal: options.signal ?? AbortSignal.timeout(60_000),
      }),
    live: () => controlClient(config['control.socket']).get<LiveView>('/live'),
    heal: async () => {
      const { health, snapshot, now } = daemon.gateway
      const ids = [...snapshot.accounts.keys()]
      // Again and again: what the last refusal taught may still be on its way to the table.
      await until(t, 'every account is well', async () => {
        for (const id of ids) {
          await clearHealth(db, id)
          await setAccountStatus(db, id, 'active', null)
        }
        return ids.every(
          id =>
            health.ailments(id).every(a => a.until <= now()) &&
            daemon.gateway.snapshot.accounts.get(id)!.status !== 'error',
        )
      })
    },
    usage: async n => {
      let rows: UsageRecord[] = []
      await until(t, `${n} usage rows`, async () => (rows = await listUsage(db, { limit: 10_000 })).length >= n)
      return rows
    },
    inForce,
    set: {
      account: (name, change) => changed(setAccount(db, secret, name, change)),
      user: (name, change) => changed(setUser(db, name, change)),
      key: (name, change) => changed(setKey(db, name, change)),
      revoke: name => changed(revokeKey(db, name)),
    },
  }
}

/** Waits for a fact; fails the test when it does not come within `ms`. */
export async function until(
  t: Test,
  fact: string,
  holds: () => boolean | Promise<boolean>,
  ms = 60_000,
): Promise<void> {
  const begun = Date.now()
  while (!(await holds())) {
    const waited = Date.now() - begun
    if (waited > ms) {
      t.fail(`never came true: ${fact}`)
      throw new Error(`never came true: ${fact}`)
    }
    // To ask is work, also for whoever brings the fact about: what takes long is asked for less often, and seen a tenth later.
    await new Promise(resolve => setTimeout(resolve, Math.min(Math.max(waited / 10, 5), 100)))
  }
}

async function nothingHeld(t: Test, daemon: Daemon, mock: Mock): Promise<void> {
  const { gateway: gw } = daemon
  const held = async () => {
    // A test may have stopped it: it gave back all it held, and nobody answers any more.
    if (gw.draining) return []
    const view = await controlClient(gw.config['control.socket']).get<LiveView>('/live')
    return [...view.users, ...view.accounts].filter(v => v.slots.used > 0).map(v => `${v.name}: ${v.slots.used}`)
  }
  await until(t, 'every request is over', () => gw.live.size === 0)
  await until(t, 'every slot is given back', async () => (await held()).length === 0)
  await until(t, 'no money is put aside', () => gw.wallet.size() === 0)
  await until(t, 'the provider has no request open', () => mock.stats().inFlight === 0)
}

/** A plain Messages body. */
export const hello = (more: object = {}) => ({
  model: 'claude-sonnet-5-5',
  max_tokens: 64,
  messages: [{ role: 'user', content: 'hello' }],
  ...more,
})

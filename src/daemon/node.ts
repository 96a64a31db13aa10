// One worker, put together and taken apart: the only file that names concrete stores and modes. Long, because what is opened here is closed here, in reverse.
import { randomBytes } from 'node:crypto'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import type { Config } from '../config/schema.ts'
import { controlServer } from '../control/server.ts'
import type {
  AccountsAsked,
  BindingsToClear,
  DrainAsked,
  LogsAsked,
  ReloadAsked,
  SlotsToClear,
  StopAsked,
} from '../control/view.ts'
import { openBooks } from '../core/books/books.ts'
import { refusedFile } from '../core/books/refused.ts'
import { spoolId } from '../core/books/spool.ts'
import { openErrorLog } from '../core/errors/log.ts'
import { openKnownSecret } from '../core/known-secret.ts'
import { readNamedFiles } from '../core/named-files.ts'
import type { Fold } from '../core/outcome.ts'
import type { Snapshot } from '../core/snapshot.ts'
import { openDatabase } from '../db/connect.ts'
import type { Embedded } from '../db/enter.ts'
import { openEars } from '../db/listen.ts'
import { overrideModels } from '../dialect/middle/models.ts'
import { createLeases } from '../gateway/admit/leases.ts'
import { createPlaces } from '../gateway/admit/places.ts'
import { FairQueue } from '../gateway/admit/queue.ts'
import { createOutcomes } from '../gateway/answer/outcomes.ts'
import { createEngine } from '../gateway/ask/engine/create.ts'
import { Silence } from '../gateway/ask/engine/silence.ts'
import { Egress } from '../gateway/choose/egress.ts'
import type { Occupied } from '../gateway/choose/occupied.ts'
import { Pools } from '../gateway/choose/pool.ts'
import { createGatewayServer } from '../gateway/door.ts'
import { Brake } from '../gateway/enter/brake.ts'
import type { Fetching, Gateway } from '../gateway/gateway.ts'
import { watchClock } from '../lib/clock.ts'
import { Crowd } from '../lib/crowd.ts'
import { Failure } from '../lib/failure.ts'
import { clientGuard } from '../lib/guard/client.ts'
import { upstreamGuard } from '../lib/guard/upstream.ts'
import type { Log } from '../lib/log.ts'
import type { Unread } from '../lib/log-out.ts'
import { codeOf, OwnTrouble } from '../lib/own-trouble.ts'
import { keepTick } from '../lib/tick.ts'
import { createMetrics } from '../ops/metrics.ts'
import { createOpsServer } from '../ops/server.ts'
import { createStore } from '../store/open.ts'
import { accessLog } from './access.ts'
import { alertJob, rulesOfFiles } from './alerts.ts'
import { keepCatalogues } from './catalogues.ts'
import { clearBindings, clearSlots } from './clear.ts'
import { BOOKED, Ending, LET_GO, Openings, URGENT_MS } from './closing.ts'
import { createCollector } from './collector.ts'
import { keepEpoch } from './epoch.ts'
import { keepExplanations } from './explain.ts'
import { exposed } from './exposed.ts'
import { followersOf } from './followers.ts'
import { keepHealth } from './health.ts'
import { janitor } from './janitor.ts'
import { type Job, startJobs } from './jobs.ts'
import { activatedFd, closeNow, listenOn } from './listen.ts'
import { createLive } from './live.ts'
import { keepMoney } from './money.ts'
import { joinNodes } from './nodes.ts'
import { keepNotifying } from './notify.ts'
import { opsRoutes } from './ops.ts'
import { otelOf } from './otel.ts'
import { type ConfigSource, createReloads, fixedSource, type Reloads } from './reload.ts'
import { followSnapshots } from './snapshots.ts'
import { bookedFolder, spoolFolder } from './spools.ts'
import { steer } from './steer.ts'
import { startStream } from './stream.ts'
import { keepTokens } from './tokens.ts'
import { bindingViews } from './views/bindings.ts'
import { logsView } from './views/logs.ts'
import { slotViews } from './views/slots.ts'
import { statusView } from './views/status.ts'
import { waiters } from './views/waiters.ts'

/** The longest that it takes to give everything back. */
const END_MS = 9_000

/** starting → ready → draining → stopped */
type Phase = 'starting' | 'ready' | 'draining' | 'stopped'

/** A worker that is up. */
export interface Worker {
  gateway: Gateway
  /** where clients connect, as `http://host:port` */
  url: string
  opsUrl: string | undefined
  config: Config
  /** it found nobody to serve yet: a first start */
  fresh: boolean
  reload: Reloads['reload']
  /**
   * Stops accepting, waits for what is under way at most `withinMs` (default: drain_timeout), then gives everything back within
   * `endMs` (default 9 s), whatever stands still. Called again it may only shorten either. Never rejects.
   */
  stop(withinMs?: number, endMs?: number): Promise<void>
}

export interface WorkerOptions extends Pick<Log, 'log' | 'access' | 'lines' | 'recent' | 'unread'> {
  /**
   * How long a place outlives a process that dies; default 15 s. Not a setting: all nodes must agree on it, and who is
   * slower than a third of it loses what he holds.
   */
  leaseTtlMs?: number
  /** how media that clients name by URL are fetched; default: from the public internet alone */
  fetching?: Fetching | undefined
  /** where the configuration came from, and comes from again when it is reloaded; default: it stays as it is */
  source?: ConfigSource
  /** between two heartbeats on Postgres; default 2 s */
  beatMs?: number | undefined
  /** ends the process that this worker is, when `gw stop` asks for it: in order, or now */
  stop?: (now: boolean) => void
  /** the wall clock, Unix ms; default Date.now */
  now?: (() => number) | undefined
}

/**
 * Puts a worker together and listens. Its `number` names its spool; `embedded` is the embedded Postgres that is being entered.
 * @throws Refusal with one clear line; whatever was opened by then is closed again
 */
export async function startWorker(
  config: Config,
  number: number,
  logging: WorkerOptions,
  embedded?: Promise<Embedded>,
): Promise<Worker> {
  keepTick()
  const { log } = logging
  const { now = Date.now } = logging
  const startedAt = now()
  const steady = () => performance.now()
  let phase: Phase = 'starting'
  const files = readNamedFiles(config)
  overrideModels(files.models)
  // What was opened is closed in reverse, whether the start fails or the life ends.
  await using opened = new Openings(log, END_MS)
  const open =
    (name: string) =>
    <T extends { close(withinMs: number): unknown }>(what: T): T => {
      opened.add(name, ms => what.close(ms))
      return what
    }

  const database = open('database')(await openDatabase(config, { embedded, log: line => log.warn(line) }))
  if (database.migrated.length > 0) log.info(`database migrated: ${database.migrated.join(', ')}`)
  const secret = await openKnownSecret(database.db, config['secret.key_file'])
  const processId = randomBytes(6).toString('hex')
  const guard = upstreamGuard(config)
  const idleConnections = config['upstream.idle_connections']
  const engine = open('engine')(await createEngine({ engine: config['upstream.engine'], idleConnections, guard }))
  const silence = open('silence')(new Silence())
  const accountQueue = new FairQueue<Occupied>(occupied => occupied.undo())
  const retry = () => void accountQueue.retry()
  // What changes while the rest is put together is not lost: it is what the gateway begins with.
  let early: Snapshot | undefined
  let changed = (snapshot: Snapshot): void => {
    early = snapshot
  }
  const ears = open('ears')(
    await openEars(database.connection, { log: (level, line) => log[level](line), beatMs: logging.beatMs }),
  )
  const epoch = open('epoch')(
    await keepEpoch({ ears, dataDir: config['data_dir'], log: (level, line) => log[level](line) }),
  )
  const place = spoolId(config['data_dir'])
  const nodes = open('nodes')(
    await joinNodes({
      database,
      ears,
      process: processId,
      place,
      redis: config['redis.url'] !== undefined,
      log: (level, line) => log[level](line),
      beatMs: logging.beatMs,
    }),
  )
  const [snapshots, { health, beside, ejections, setBack }, store] = await together([
    followSnapshots(database, ears, secret, log, snapshot => changed(snapshot)).then(open('snapshots')),
    keepHealth(database, ears, log, retry, now).then(open('health')),
    createStore({
      redisUrl: config['redis.url'],
      redisCa: config['redis.ca_file'],
      processId,
      processes: nodes.first,
      others: nodes.view().length - 1,
      log: (level, line) => log[level](line),
    }).then(open('store')),
    rulesOfFiles(database, files.rules).then(told => {
      for (const { level, line } of told) log[level](line)
    }),
  ])
  nodes.follow(store)
  const money = open('wallet')(await keepMoney({ database, ears, store, spoolId: place, log, wentBack: epoch.suspect }))
  const { wallet } = money
  // There are books before there is a gateway, and their settings may be reloaded with it.
  let inForce = () => config
  const books = open('books')(
    openBooks({
      folder: spoolFolder(config['data_dir'], number),
      kept: { folder: bookedFolder(config['data_dir'], number), again: epoch.pending() },
      refusedFile: refusedFile(config['data_dir']),
      connection: database.connection,
      timezone: config['timezone'],
      batch: config['usage.batch'],
      intervalMs: config['usage.flush_interval'],
      policy: () => ({ whenFull: inForce()['billing.disk_full'], minFreeBytes: inForce()['billing.min_free_disk'] }),
      payers: wallet,
      log: (level, line) => log[level](line),
    }),
  )
  await epoch.follow(async () => {
    // What is booked again is put aside before anybody learns that it is not booked.
    const lines = books.state().waiting + (await books.rewind())
    ears.renew()
    await snapshots.renew()
    return { lines, older: await money.renew() }
  })
  // What an earlier run left is booked before anybody is told what they have left.
  await books.drain(5_000)
  const leases = open('leases')(createLeases({ store, processId, ttlMs: logging.leaseTtlMs }))
  const places = createPlaces({ store, leases, now })
  store.onFreed(key => accountQueue.offer(key))

  const ownTrouble = new OwnTrouble({ log: line => log.warn(line), now: steady })
  const live = createLive(now)
  const errorLog = open('error log')(
    openErrorLog({ db: database.db, process: processId, log: (level, line) => log[level](line), now }),
  )
  const explanations = open('gw explain')(
    keepExplanations({
      dataDir: config['data_dir'],
      config: () => gateway.config,
      number,
      live,
      db: database.db,
      now,
      log: (level, line) => log[level](line),
    }),
  )
  const priced = (model: string) => gateway.snapshot.prices.find(model, now()) !== undefined
  const metrics = createMetrics({ priced })
  const otel = open('otel')(await otelOf(config, { processId, priced, log }))
  const collector = open('collector')(
    createCollector({
      database,
      process: processId,
      intervalMs: config['ops.interval'],
      store,
      redis: config['redis.url'] !== undefined,
      dataDir: config['data_dir'],
      spoolLines: () => books.state().waiting,
      under: live.under,
      snapshot: () => gateway.snapshot,
      log,
    }),
  )
  const tokens = open('token refresh')(
    keepTokens(
      { db: database.db, secret, now, guard, log: (level, line) => log[level](line) },
      {
        snapshot: () => gateway.snapshot,
        everyMs: config['oauth.check_interval'],
        beforeMs: () => gateway.config['oauth.refresh_before'],
      },
    ),
  )
  const gateway: Gateway = {
    config,
    snapshot: early ?? snapshots.first,
    secret,
    store,
    leases,
    places,
    health,
    beside,
    tokens,
    egress: new Egress({ random: Math.random, log: line => log.warn(line) }),
    accountQueue,
    waitingAtPool: new Map(),
    bindings: new Map(),
    engine,
    silence,
    fetching: logging.fetching ?? { guard: clientGuard() },
    wallet,
    books,
    outcomes: createOutcomes(now, [
      live,
      metrics,
      collector.fold,
      errorLog,
      accessLog(logging),
      meeting(ownTrouble),
      explanations.recorder,
      ...otel.folds,
    ]),
    tracing: otel.tracing,
    brake: new Brake(steady),
    log,
    now,
    live: new Crowd(),
    pools: new Pools(),
    draining: false,
    drained: false,
  }
  inForce = () => gateway.config
  open('clock')(
    watchClock({
      wall: now,
      back(byMs) {
        log.warn(
          `the clock of this machine was set back by ${Math.round(byMs / 1000)} s; nobody waits the longer for it`,
        )
        setBack(byMs)
        gateway.egress.setBack(byMs)
      },
    }),
  )
  changed = snapshot => {
    gateway.snapshot = snapshot
    gateway.pools.keep(snapshot.groups, snapshot.accounts)
    // An account that was added or resumed may serve who waits, and so may a limit that was raised.
    gateway.places.retry()
    retry()
  }
  const catalogues = keepCatalogues(
    {
      db: database.db,
      secret,
      guard,
      renew: async account => (await tokens.refreshNow(account)) === 'refreshed',
      log: (level, line) => log[level](line),
    },
    { snapshot: () => gateway.snapshot, everyMs: () => gateway.config['models.refresh_interval'] },
  )
  const notifying = open('notifications')(
    keepNotifying(database.db, secret, { processId, config: () => gateway.config, log }),
  )
  const alerts = alertJob(database.db, config['ops.interval'], log)
  const beats = { process: processId, node: os.hostname() }
  const jobs = [...jobsOf(gateway), tokens.job, catalogues, alerts, notifying.job, ...collector.jobs]
  const running = open('jobs')(startJobs(jobs, { database, log, beats }))

  const server = createGatewayServer(gateway)
  const reloads = createReloads({
    source: logging.source ?? fixedSource(config),
    files,
    inForce: gateway,
    followers: followersOf({ log, access: logging.access, server, database, jobs: running }),
    stopping: () => phase !== 'ready',
    log,
    now,
  })

  const degraded = () =>
    [
      ['', ears.trouble()],
      ['database: ', snapshots.stale()],
      ['', epoch.trouble()],
      ['', store.trouble()],
      ['', nodes.trouble()],
      ['', store.warning()],
      ['usage spool: ', books.state().error],
      ['usage spool: ', books.state().trouble],
      ['', refusedLines(books.state().refused)],
      ['this node: ', ownTrouble.state()],
      ['gw explain: ', explanations.trouble()],
      ['configuration: ', reloads.trouble()],
      ['log: ', logging.unread && stuckLog(logging.unread())],
    ].flatMap(([where, problem]) => (problem === undefined ? [] : [`${where}${problem}`]))

  const phaseNow = (): Phase => (phase === 'ready' && gateway.drained ? 'draining' : phase)
  const stream = open('live stream')(startStream(gateway, live, { processId, phase: phaseNow }))
  const own = { reloads, ejections, ownTrouble, tokens, degraded, db: database.db }
  const { unread } = logging
  metrics.add(...exposed({ gateway, live, books, collector, errorLog, explanations, stream, unread, ...own }))

  let opsUrl: string | undefined
  if (config['ops.listen'] !== 'off') {
    const readiness = () => ({ phase: phaseNow(), refusing: books.closed(), degraded: degraded() })
    const address = config['ops.listen']
    const name = 'host' in address ? address.host : ''
    const routes = {
      ...opsRoutes({ db: database.db, config: () => gateway.config, now }),
      ...explanations.routes,
    }
    const ops = createOpsServer({ metrics, readiness, routes, token: () => gateway.config['ops.token'], name })
    opsUrl = await listenOn(ops, config['ops.listen'], 'ops.listen')
    opened.add('ops listener', () => closeNow(ops))
    stream.attachOps(ops, name)
  }
  const fd = activatedFd()
  const url = await listenOn(server, fd === undefined ? config['listen'] : { fd }, 'listen', error =>
    ownTrouble.met(error.code ?? 'ACCEPT'),
  )
  opened.add('listener', () => closeNow(server))
  let deadline = Infinity
  const drainMs = () => Math.max(0, Math.min(gateway.config['drain_timeout'], deadline - performance.now()))
  const steering = steer({ gateway, live, stop: logging.stop, drainMs, endMs: END_MS, urgentMs: URGENT_MS })
  const control = open('control socket')(
    await controlServer(config['control.socket'], socketMode(config), {
      'GET /ping': () => ({ pong: true }),
      'GET /live': stream.view,
      'POST /accounts': body => stream.accounts(body as AccountsAsked),
      'GET /slots': () => slotViews(gateway, live),
      'POST /slots/clear': body => clearSlots(gateway, body as SlotsToClear),
      'POST /logs': body => logsView(logging.recent, body as LogsAsked),
      'GET /queue': () => waiters(gateway, live),
      'POST /explain': body => explanations.explain((body as { id: string }).id),
      'POST /drain': body => steering.drain(body as DrainAsked),
      'POST /stop': body => steering.stop(body as StopAsked),
      'GET /sticky': () => bindingViews(gateway),
      'POST /sticky/clear': body => clearBindings(gateway, body as BindingsToClear),
      'POST /reload': async body => {
        if ((body as ReloadAsked).dry_run) return reloads.preview()
        return reloads.reload('gw reload')
      },
      'GET /status': () =>
        statusView(gateway, live, {
          startedAt,
          reloads: reloads.state(),
          phase: phaseNow(),
          listen: url,
          ops_listen: opsUrl ?? 'off',
          database: database.embedded ? `embedded in ${config['data_dir']}` : 'external',
          nodes: nodes.view(),
          degraded: degraded(),
        }),
    }),
  )
  stream.attachControl(control.server)
  // Closed before the servers it stands on, and not sooner: a drain can be watched.
  open('live stream')(stream)
  phase = 'ready'

  opened.keep()
  const ending = new Ending()
  let stopping: Promise<unknown> | undefined
  let last = END_MS
  const stop = async () => {
    phase = 'draining'
    gateway.draining = true
    // Not the HTTP server's own close: to that a connection is idle while its client still takes in the last answer.
    // Idle ones stay, too: who asks on one at this moment is answered, and told to connect elsewhere next time.
    net.Server.prototype.close.call(server)
    await drained(gateway, () => deadline - performance.now())
    // Nobody is waited for any more: who still comes on an open connection is refused, instead of begun and cut.
    gateway.drained = true
    ending.within(last)
    await letGo(gateway, ending)
    await ending.wait(books.drain(ending.left(BOOKED)), () => ending.left(BOOKED))
    phase = 'stopped'
    await opened.close(ending)
  }
  return {
    gateway,
    url,
    opsUrl,
    config,
    fresh: gateway.snapshot.keyCount === 0,
    reload: by => reloads.reload(by),
    async stop(withinMs = gateway.config['drain_timeout'], endMs = END_MS) {
      deadline = Math.min(deadline, performance.now() + withinMs)
      last = Math.min(last, endMs)
      if (stopping && deadline <= performance.now()) ending.within(last)
      stopping ??= stop().catch(error => log.error({ err: error as Error }, 'the end failed'))
      await ending.wait(stopping, () => ending.left(1))
    },
  }
}

/** In the data dir, which is for nobody else, it is so, too; where an operator puts it, their group decides who reaches it. */
const socketMode = ({ data_dir, 'control.socket': socket }: Config): number =>
  path.dirname(socket) === path.resolve(data_dir) ? 0o600 : 0o660

function refusedLines(count: number): string | undefined {
  if (count === 0) return undefined
  return `ledger: ${count} usage line${count === 1 ? '' : 's'} refused and charged to nobody (gw ledger refused list)`
}

function stuckLog({ stuck, dropped }: Unread): string | undefined {
  return stuck
    ? `whoever reads it stands still, and lines are dropped (${dropped} by now); gw logs has the latest`
    : undefined
}

/** Takes in the requests that ended for trouble of our own. */
const meeting = (ownTrouble: OwnTrouble): Fold => ({
  ended({ failure }) {
    if (failure?.code === 'NODE_TROUBLE') ownTrouble.met(codeOf(failure.cause as Error))
  },
})

/** What is done again and again while a worker lives. */
function jobsOf(gateway: Gateway): Job[] {
  return [
    // The safety net: a dead process's leases expire and an ejection ends without a word to those who wait.
    {
      name: 'waiters',
      everyMs: 1_000,
      run() {
        gateway.places.retry()
        return gateway.accountQueue.retry()
      },
    },
    janitor({ config: () => gateway.config, log: gateway.log }),
  ]
}

/** All of them; fails only when each has come to its end, so that whatever was opened is closed. */
async function together<T extends readonly unknown[]>(work: { [K in keyof T]: Promise<T[K]> }): Promise<T> {
  await Promise.allSettled(work)
  return (await Promise.all(work)) as unknown as T
}

/** Waits until nothing is under way, or no time is left. */
async function drained(gateway: Gateway, left: () => number): Promise<void> {
  while (gateway.live.size > 0 && left() > 0)
    await new Promise(resolve => setTimeout(resolve, Math.max(1, Math.min(50, left()))))
}

/** Ends what is left with an error its client understands. Whoever does not let go is cut off with its connection. */
async function letGo(gateway: Gateway, ending: Ending): Promise<void> {
  while (gateway.live.size > 0 && ending.left(LET_GO) > 0) {
    for (const down of gateway.live) down.interrupt(new Failure('DRAINING', ['is shutting down']))
    await new Promise(resolve => setTimeout(resolve, 25))
  }
}

// The composition root: the only file that names concrete stores and modes, and takes them apart again.
import { randomBytes } from 'node:crypto'
import type { Server } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import path from 'node:path'
import type { Logger } from 'pino'
import { type Address, formatAddress } from '../config/address.ts'
import type { Loaded } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { controlServer } from '../control/server.ts'
import type { BindingsToClear, SlotsToClear, StatusView } from '../control/view.ts'
import { book } from '../core/books/book.ts'
import { readLine } from '../core/books/line.ts'
import { openSpool, spoolId } from '../core/books/spool.ts'
import { openTill } from '../core/books/till.ts'
import { openDatabase } from '../db/connect.ts'
import { createLeases } from '../gateway/admit/leases.ts'
import { createPlaces } from '../gateway/admit/places.ts'
import { FairQueue } from '../gateway/admit/queue.ts'
import { createOutcomes } from '../gateway/answer/outcomes.ts'
import { createEngine } from '../gateway/ask/engine/create.ts'
import { Silence } from '../gateway/ask/engine/silence.ts'
import type { Occupied } from '../gateway/choose/occupy.ts'
import type { Gateway } from '../gateway/gateway.ts'
import { createGatewayServer } from '../gateway/serve.ts'
import { Crowd } from '../lib/crowd.ts'
import { Failure } from '../lib/failure.ts'
import { createLog, type Log } from '../lib/log.ts'
import { Refusal } from '../lib/refusal.ts'
import { openSecret } from '../lib/secret.ts'
import { version } from '../lib/version.ts'
import { within } from '../lib/within.ts'
import { createMetrics } from '../ops/metrics.ts'
import { createOpsServer } from '../ops/server.ts'
import { createStore } from '../store/open.ts'
import { accessLog } from './access.ts'
import { clearBindings, clearSlots } from './clear.ts'
import { keepHealth } from './health.ts'
import { startJanitor } from './janitor.ts'
import { activatedFd, notify, type Phase, untilSignal } from './lifecycle.ts'
import { createLive } from './live.ts'
import { lockDataDir } from './lock.ts'
import { keepMoney } from './money.ts'
import { followSnapshots } from './snapshots.ts'
import { bindingViews, liveView, slotViews, waiters, waitingNow } from './view.ts'

const BOOK_MS = 30_000

/** A daemon that is up. */
export interface Daemon {
  gateway: Gateway
  /** where clients connect, as `http://host:port` */
  url: string
  opsUrl: string | undefined
  config: Config
  /** it found nobody to serve yet: a first start */
  fresh: boolean
  /**
   * Stops accepting, waits for what is under way at most `withinMs` (default: drain_timeout), gives everything back.
   * Called again it may only shorten the wait.
   */
  stop(withinMs?: number): Promise<void>
}

export interface DaemonOptions extends Pick<Log, 'log' | 'access'> {
  /**
   * How long a place outlives a process that dies; default 15 s. Not a setting: all nodes must agree on it, and who is
   * slower than a third of it loses what he holds.
   */
  leaseTtlMs?: number
}

/**
 * Puts a daemon together and listens.
 * @throws Refusal with one clear line; whatever was opened by then is closed again
 */
export async function startDaemon(config: Config, { log, access, leaseTtlMs }: DaemonOptions): Promise<Daemon> {
  const now = Date.now
  // What was opened, youngest last; taken apart in reverse whether the start fails or the life ends.
  const opened: (() => unknown)[] = []
  const takeApart = async () => {
    for (const close of opened.splice(0).reverse()) await close()
  }
  try {
    opened.push(lockDataDir(config['data_dir']))
    const database = await openDatabase(config, { log: line => log.warn(line) })
    opened.push(() => database.close())
    if (database.migrated.length > 0) log.info(`database migrated: ${database.migrated.join(', ')}`)
    const secret = openSecret(config['secret.key_file'])

    const snapshots = await followSnapshots(database, secret, log, snapshot => {
      gateway.snapshot = snapshot
      // An account that was added or resumed may serve who waits.
      void gateway.accountQueue.retry()
    })
    opened.push(() => snapshots.close())

    const live = createLive(now)
    const metrics = createMetrics({
      priced: model => gateway.snapshot.prices.find(model, now()) !== undefined,
      inFlight: live.inFlight,
      spoolWaiting: () => spool.state().waiting,
    })
    const engine = await createEngine({
      engine: config['upstream.engine'],
      idleConnections: config['upstream.idle_connections'],
    })
    opened.push(() => engine.close())
    const silence = new Silence()
    opened.push(() => silence.close())
    const processId = randomBytes(6).toString('hex')
    const store = await createStore({
      redisUrl: config['redis.url'],
      processId,
      log: (level, line) => log[level](line),
    })
    opened.push(() => store.close())
    const folder = path.join(config['data_dir'], 'spool')
    const { wallet, ...money } = await keepMoney({ database, store, spoolId: spoolId(config['data_dir']), log })
    opened.push(() => money.close())
    // Without an answer in that time it is sent again, which is safe.
    const bookLines = async (lines: readonly string[]) =>
      wallet.booked(await within(BOOK_MS, book(database.db, lines, config['timezone'])))
    const spool = openSpool({
      folder,
      batch: config['usage.batch'],
      intervalMs: config['usage.flush_interval'],
      book: bookLines,
      inherited: text => wallet.inherit(readLine(text)),
      refused: text => wallet.forget(readLine(text)),
      log: (level, line) => log[level](line),
    })
    opened.push(() => spool.close())
    const till = openTill({
      spool,
      folder,
      policy: () => ({ whenFull: config['billing.disk_full'], minFreeBytes: config['billing.min_free_disk'] }),
      book: bookLines,
      refused: text => wallet.forget(readLine(text)),
      log: (level, line) => log[level](line),
    })
    opened.push(() => till.close())
    // What an earlier run left is booked before anybody is told what they have left.
    await spool.drain(5_000)
    const leases = createLeases({ store, processId, ttlMs: leaseTtlMs })
    opened.push(() => leases.close())
    const accountQueue = new FairQueue<Occupied>(occupied => occupied.undo())
    const places = createPlaces({ store, leases, now })
    store.onFreed(key => accountQueue.offer(key))
    const { health, ...healthKeeper } = await keepHealth(database, log, () => void accountQueue.retry())
    opened.push(() => healthKeeper.close())
    // The safety net: a dead process's leases expire and an ejection ends without a word to those who wait.
    const safetyNet = setInterval(() => {
      void accountQueue.retry()
      places.retry()
    }, 1000).unref()
    opened.push(() => clearInterval(safetyNet))

    const gateway: Gateway = {
      config,
      snapshot: snapshots.first,
      secret,
      store,
      leases,
      places,
      health,
      accountQueue,
      waitingAtPool: new Map(),
      bindings: new Map(),
      engine,
      silence,
      wallet,
      till,
      outcomes: createOutcomes(now, [live, metrics, accessLog(access)]),
      log,
      now,
      live: new Crowd(),
      chosen: new Map(),
      draining: false,
    }

    const janitor = startJanitor({ database, config: () => gateway.config, log })
    opened.push(() => janitor.close())

    const started = now()
    let phase: Phase = 'starting'
    const degraded = () => {
      const problems: string[] = []
      const stale = snapshots.stale()
      if (stale !== undefined) problems.push(`database: ${stale}`)
      const trouble = store.trouble()
      if (trouble !== undefined) problems.push(trouble)
      const { error } = spool.state()
      if (error !== undefined) problems.push(`usage spool: ${error}`)
      const full = till.trouble()
      if (full !== undefined) problems.push(`usage spool: ${full}`)
      return problems
    }

    let opsUrl: string | undefined
    const opsListen = config['ops.listen']
    if (opsListen !== 'off') {
      const ops = createOpsServer({
        metrics,
        readiness: () => ({
          phase,
          refusing: till.closed(),
          degraded: degraded(),
        }),
        token: config['ops.token'],
      })
      opsUrl = await listenOn(ops, opsListen, 'ops.listen')
      opened.push(() => closeNow(ops))
    }
    const server = createGatewayServer(gateway)
    const fd = activatedFd()
    const url = await listenOn(server, fd === undefined ? config['listen'] : { fd }, 'listen')
    opened.push(() => closeNow(server))

    const control = await controlServer(config['control.socket'], {
      'GET /ping': () => ({ pong: true }),
      'GET /live': () => liveView(gateway, live),
      'GET /slots': () => slotViews(gateway, live),
      'POST /slots/clear': body => clearSlots(gateway, body as SlotsToClear),
      'GET /queue': () => waiters(gateway, live),
      'GET /sticky': () => bindingViews(gateway),
      'POST /sticky/clear': body => clearBindings(gateway, body as BindingsToClear),
      'GET /status': (): StatusView => ({
        version,
        pid: process.pid,
        started_at: new Date(started).toISOString(),
        uptime_ms: now() - started,
        phase,
        listen: url,
        ops_listen: opsUrl ?? 'off',
        database: database.embedded ? `embedded in ${config['data_dir']}` : 'external',
        in_flight: live.inFlight(),
        waiting: waitingNow(gateway),
        accounts: gateway.snapshot.accounts.size,
        users: gateway.snapshot.users.size,
        keys: [...gateway.snapshot.keys.values()].filter(key => !key.revoked).length,
        degraded: degraded(),
      }),
    })
    opened.push(() => control.close())
    phase = 'ready'

    let stopping: Promise<void> | undefined
    let deadline = Infinity
    const stop = async () => {
      phase = 'draining'
      gateway.draining = true
      // Not the HTTP server's own close: to that a connection is idle while its client still takes in the last answer.
      // Idle ones stay, too: who asks on one at this moment is answered, and told to connect elsewhere next time.
      net.Server.prototype.close.call(server)
      await drained(gateway, () => deadline)
      await spool.drain(5_000)
      phase = 'stopped'
      await takeApart()
    }
    return {
      gateway,
      url,
      opsUrl,
      config,
      fresh: gateway.snapshot.keys.size === 0,
      stop(withinMs = config['drain_timeout']) {
        deadline = Math.min(deadline, now() + withinMs)
        return (stopping ??= stop())
      },
    }
  } catch (error) {
    await takeApart()
    throw error
  }
}

/** Waits until nothing is under way; from the deadline on what is left is ended with an error its client understands. */
async function drained(gateway: Gateway, deadline: () => number): Promise<void> {
  while (gateway.live.size > 0) {
    const left = deadline() - gateway.now()
    if (left <= 0) for (const down of gateway.live) down.interrupt(new Failure('DRAINING'))
    await new Promise(resolve => setTimeout(resolve, Math.max(10, Math.min(50, left))))
    if (left < -5_000) return // somebody does not let go; the process ends all the same
  }
}

async function listenOn(server: Server, address: Address, setting: string): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why =
        error.code === 'EADDRINUSE'
          ? 'another program listens there'
          : error.code === 'EACCES'
            ? 'this user may not listen there'
            : error.message
      reject(
        new Refusal(
          'unreachable',
          `${setting} ${formatAddress(address)}: ${why}; choose another with ${setting === 'listen' ? '--listen' : setting}`,
          { cause: error },
        ),
      )
    })
    server.listen(address, resolve)
  })
  const bound = server.address() as AddressInfo | string
  return typeof bound === 'string' ? bound : `http://${formatAddress({ host: bound.address, port: bound.port })}`
}

function closeNow(server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

/** `gw serve`: runs until a signal and returns the exit code. */
export async function runDaemon(options: { loaded: Loaded; demo: boolean; traffic: boolean }): Promise<number> {
  if (options.demo) return (await import('./demo.ts')).runDemo(options.loaded, options.traffic)
  const { config, file } = options.loaded
  const logging = createLog({ level: config['log.level'], format: config['log.format'] })
  const { log } = logging
  const daemon = await startDaemon(config, logging)
  log.info(
    {
      version,
      listen: daemon.url,
      ops: daemon.opsUrl ?? 'off',
      data_dir: config['data_dir'],
      config: file ?? 'defaults',
    },
    'ready',
  )
  if (daemon.fresh) process.stderr.write(firstSteps(daemon.url))
  notify('READY=1', `STATUS=serving on ${daemon.url}`)
  await untilStopped(daemon, log)
  await logging.flush()
  return 0
}

/** Waits for a signal, calls `first`, then drains; a second signal ends now. */
export async function untilStopped(daemon: Daemon, log: Logger, first: () => void = () => {}): Promise<void> {
  const signals = untilSignal(() => {
    log.warn('second signal: ending now')
    void daemon.stop(0)
  })
  const signal = await signals.signalled
  first()
  const under = daemon.gateway.live.size
  log.info(`${signal}: draining, ${under} request${under === 1 ? '' : 's'} under way; again to end now`)
  notify('STOPPING=1', 'STATUS=draining')
  await daemon.stop()
  signals.dispose()
  log.info('stopped')
}

function firstSteps(url: string): string {
  return `
Nothing is set up yet. Three commands lead to the first request:

  gw group add main --platform anthropic
  gw account add first --platform anthropic --group main --api-key-file FILE
  gw user add me --balance 10 && gw key create --user me --group main

Then point a client at ${url} with that key; gw try sends a first request.

`
}

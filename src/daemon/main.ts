// The supervisor: what `gw serve` calls. It owns the data dir and starts the workers that serve traffic; today one, in its own process.
import type { Config } from '../config/schema.ts'
import { makeDataDir } from '../db/data-dir.ts'
import { type Embedded, enteringEmbedded } from '../db/enter.ts'
import { called } from '../lib/called.ts'
import { createLog } from '../lib/log.ts'
import { Refusal } from '../lib/refusal.ts'
import { version } from '../lib/version.ts'
import { within } from '../lib/within.ts'
import { followHangups } from './hangup.ts'
import { lockDataDir } from './lock.ts'
import type { Worker, WorkerOptions } from './node.ts'
import type { ConfigSource } from './reload.ts'
import { firstSteps, notify, untilStopped } from './run.ts'
import { startUnlessStopped, takeSignals } from './signals.ts'
import { adoptSpools } from './spools.ts'

/** A daemon that is up. */
export type Daemon = Worker

/** `gw serve`: runs until a signal and returns the exit code. */
export async function runDaemon(options: { source: ConfigSource; demo: boolean; traffic: boolean }): Promise<number> {
  // Nothing that a daemon makes is for others, whatever mode it forgets to ask for.
  process.umask(0o077)
  if (options.demo) return (await import('./demo.ts')).runDemo(options.source, options.traffic)
  const { source } = options
  const { config, file } = source.first
  const logging = createLog({ level: config['log.level'], format: config['log.format'] })
  const { log } = logging
  using hangups = followHangups(log)
  using signals = takeSignals()
  const daemon = await startUnlessStopped(signals, log, giveUp =>
    startDaemon(config, { ...logging, source, stop: signals.raise }, giveUp),
  )
  if (typeof daemon === 'number') {
    await logging.flush()
    return daemon
  }
  hangups.begin(() => daemon.reload('SIGHUP'))
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
  const { origin } = source.first
  const where = origin['data_dir'].startsWith('flag') ? ['--data-dir', config['data_dir']] : []
  if (daemon.fresh) process.stderr.write(firstSteps(daemon.url, called(process.env, where)))
  notify('READY=1', `STATUS=serving on ${daemon.url}`)
  await untilStopped(daemon, log, signals)
  await logging.flush(signals.urgent)
  return 0
}

/**
 * Takes the data dir and starts the one worker in this process. With more of them they are started here, as processes,
 * each with its number; here they are watched and started again, and `stop` waits for all.
 * @throws Refusal with one clear line; whatever was opened by then is closed again. Where `giveUp` is aborted before it is up, the
 * embedded Postgres and the data dir are given back, and the process is to end
 */
export async function startDaemon(config: Config, logging: WorkerOptions, giveUp?: AbortSignal): Promise<Daemon> {
  await using opened = new AsyncDisposableStack()
  await makeDataDir(config['data_dir'])
  opened.defer(lockDataDir(config['data_dir']))
  // Their numbers, from 0 up, name their spools.
  adoptSpools(config['data_dir'], config['workers'])
  // Postgres comes up while the rest of gw is loaded.
  const entering = enteringEmbedded(config, line => logging.log.warn(line), giveUp)
  const start = async () => {
    const { embedded } = await entering
    const { startWorker } = await import('./node.ts')
    return startWorker(config, 0, logging, embedded)
  }
  const worker = await Promise.race([start(), ...(giveUp ? [givenUp(giveUp, entering)] : [])])
  const held = opened.move()
  return {
    ...worker,
    async stop(withinMs, endMs) {
      await worker.stop(withinMs, endMs)
      await held.disposeAsync()
    },
  }
}

const GIVE_BACK_MS = 2_500

/** Rejects when the start is given up, and its Postgres given back. */
async function givenUp(
  giveUp: AbortSignal,
  entering: Promise<{ embedded: Promise<Embedded> | undefined }>,
): Promise<never> {
  if (!giveUp.aborted) await new Promise(resolve => giveUp.addEventListener('abort', resolve, { once: true }))
  const release = async () => {
    const { embedded } = await entering
    await (await embedded)?.release({ withinMs: GIVE_BACK_MS })
  }
  await within(GIVE_BACK_MS, release()).catch(() => {})
  throw new Refusal('failure', 'the start was given up')
}

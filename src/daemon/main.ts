// The supervisor: what `gw serve` calls. It owns the data dir and starts the workers that serve traffic; today one, in its own process.
import type { Config } from '../config/schema.ts'
import { makeDataDir } from '../db/data-dir.ts'
import { enteringEmbedded } from '../db/enter.ts'
import { called } from '../lib/called.ts'
import { createLog } from '../lib/log.ts'
import { version } from '../lib/version.ts'
import { followHangups } from './hangup.ts'
import { lockDataDir } from './lock.ts'
import type { Worker, WorkerOptions } from './node.ts'
import type { ConfigSource } from './reload.ts'
import { firstSteps, notify, untilStopped } from './run.ts'
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
  const daemon = await startDaemon(config, { ...logging, source })
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
  await untilStopped(daemon, log)
  await logging.flush()
  return 0
}

/**
 * Takes the data dir and starts the one worker in this process. With more of them they are started here, as processes,
 * each with its number; here they are watched and started again, and `stop` waits for all.
 * @throws Refusal with one clear line; whatever was opened by then is closed again
 */
export async function startDaemon(config: Config, logging: WorkerOptions): Promise<Daemon> {
  await using opened = new AsyncDisposableStack()
  await makeDataDir(config['data_dir'])
  opened.defer(lockDataDir(config['data_dir']))
  // Their numbers, from 0 up, name their spools.
  adoptSpools(config['data_dir'], config['workers'])
  // Postgres comes up while the rest of gw is loaded.
  const { embedded } = await enteringEmbedded(config, line => logging.log.warn(line))
  const { startWorker } = await import('./node.ts')
  const worker = await startWorker(config, 0, logging, embedded)
  const held = opened.move()
  return {
    ...worker,
    async stop(withinMs) {
      await worker.stop(withinMs)
      await held.disposeAsync()
    },
  }
}

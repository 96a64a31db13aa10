// `gw serve --demo`: the whole product with no provider key; everything it makes is gone when it ends.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Loaded } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { addAccount } from '../core/record/account.ts'
import { addGroup } from '../core/record/group.ts'
import { createKey } from '../core/record/key.ts'
import { addUser } from '../core/record/user.ts'
import { type Database, openDatabase } from '../db/connect.ts'
import { called } from '../lib/called.ts'
import { createLog } from '../lib/log.ts'
import { Refusal } from '../lib/refusal.ts'
import { openSecret } from '../lib/secret.ts'
import { startMock } from '../mock/server.ts'
import { platformTable } from '../platform/table.ts'
import { followHangups } from './hangup.ts'
import { type Daemon, startDaemon } from './main.ts'
import type { WorkerOptions } from './node.ts'
import type { ConfigSource } from './reload.ts'
import { untilStopped } from './run.ts'
import { startUnlessStopped, takeSignals } from './signals.ts'

/** How each dialect asks for a stream, of the platform whose clients speak it. */
export const demoAsks = [
  {
    platform: 'anthropic',
    what: 'Anthropic Messages',
    path: '/v1/messages',
    header: (key: string) => ['x-api-key', key],
    body: { model: 'claude-sonnet-5-5', max_tokens: 100, stream: true, messages: [{ role: 'user', content: 'hello' }] },
  },
  {
    platform: 'openai',
    what: 'OpenAI Chat Completions',
    path: '/v1/chat/completions',
    header: (key: string) => ['authorization', `Bearer ${key}`],
    body: { model: 'gpt-6-luna', stream: true, messages: [{ role: 'user', content: 'hello' }] },
  },
  {
    platform: 'openai',
    what: 'OpenAI Responses',
    path: '/v1/responses',
    header: (key: string) => ['authorization', `Bearer ${key}`],
    body: { model: 'gpt-6-luna', stream: true, input: 'hello' },
  },
  {
    platform: 'gemini',
    what: 'Gemini',
    path: '/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse',
    header: (key: string) => ['x-goog-api-key', key],
    body: { contents: [{ role: 'user', parts: [{ text: 'hello' }] }] },
  },
  {
    platform: 'antigravity',
    what: 'Gemini, by Antigravity',
    path: '/v1beta/models/gemini-3.6-flash:streamGenerateContent?alt=sse',
    header: (key: string) => ['x-goog-api-key', key],
    body: { contents: [{ role: 'user', parts: [{ text: 'hello' }] }] },
  },
] as const

type Keys = Record<(typeof demoAsks)[number]['platform'], string>

/** Runs until a signal and returns the exit code. */
export async function runDemo(source: ConfigSource, traffic: boolean): Promise<number> {
  const loaded = source.first
  const folder = mkdtempSync(path.join(tmpdir(), 'gw-demo-'))
  const mock = await startMock({ record: false })
  // A little slow and wordy, so that gw top has something to show.
  mock.script('*', {
    chunks: 'A gateway pools accounts, hands out keys and keeps the books.'.split(/(?<= )/),
    delayMs: 300,
    gapMs: 60,
    usage: { input_tokens: 1200, output_tokens: 64 },
  })
  try {
    const config: Config = {
      ...loaded.config,
      data_dir: folder,
      'control.socket': path.join(folder, 'gw.sock'),
      'secret.key_file': path.join(folder, 'secret.key'),
      'log.level': loaded.origin['log.level'] === 'default' ? 'warn' : loaded.config['log.level'],
      drain_timeout: 2_000,
    }
    delete (config as { 'database.url'?: string })['database.url']
    delete (config as { 'redis.url'?: string })['redis.url']
    const logging = createLog({ level: config['log.level'], format: config['log.format'] })
    using hangups = followHangups(logging.log)
    using signals = takeSignals()
    const started = await startUnlessStopped(signals, logging.log, async giveUp => {
      // Held until the daemon is up: Postgres then starts once.
      const database = await openDatabase(config)
      const keys = await populate(database, config, mock.url)
      const daemon = await startAnywhere(config, loaded, { ...logging, source, stop: signals.raise }, giveUp).finally(
        () => database.close(),
      )
      return { ...daemon, keys }
    })
    if (typeof started === 'number') return started
    hangups.begin(() => started.reload('SIGHUP'))
    process.stdout.write(welcome(started, started.keys, folder))
    const stopTraffic = traffic ? startTraffic(started.url, started.keys) : () => {}
    await untilStopped(started, logging.log, signals, stopTraffic)
    await logging.flush(signals.urgent)
    return 0
  } finally {
    await mock.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function populate(database: Database, config: Config, mockUrl: string): Promise<Keys> {
  const secret = openSecret(config['secret.key_file'])
  return database.db.transaction().execute(async tx => {
    await addUser(tx, { name: 'demo', concurrency: 20, balance: 100_000_000_000n })
    const keys: Partial<Keys> = {}
    for (const platform of Object.keys(platformTable) as (keyof Keys)[]) {
      await addGroup(tx, { name: platform, platform })
      for (const n of [1, 2])
        await addAccount(tx, secret, {
          name: `${platform}-${n}`,
          platform,
          type: 'apikey',
          credential: `demo-${platform}-${n}`,
          base_url: mockUrl,
          // A server of each dialect.
          ...(platform === 'openai' && { dialect: n === 1 ? 'chat' : 'responses' }),
          concurrency: 8,
          priority: 50,
          groups: [platform],
        })
      const wanted = { user: 'demo', group: platform, name: platform, valuePrefix: 'sk-demo-' }
      keys[platform] = (await createKey(tx, secret, wanted)).key
    }
    return keys as Keys
  })
}

// Somebody trying gw out may well have something on 8080; only an address that was asked for must be that one.
async function startAnywhere(
  config: Config,
  loaded: Loaded,
  logging: WorkerOptions,
  giveUp: AbortSignal,
): Promise<Daemon> {
  const free = { host: '127.0.0.1', port: 0 }
  const asked = loaded.origin['listen'] !== 'default'
  try {
    return await startDaemon({ ...config, 'ops.listen': free }, logging, giveUp)
  } catch (error) {
    if (asked || !(error instanceof Refusal) || !error.message.startsWith('listen ')) throw error
    return await startDaemon({ ...config, listen: free, 'ops.listen': free }, logging, giveUp)
  }
}

function welcome(daemon: Daemon, keys: Keys, folder: string): string {
  const gw = called(process.env)
  return `gw is serving on ${daemon.url}, with a scripted provider behind it: no provider key, no cost.

A streaming request in each dialect, with a key of the platform it comes from; each works with any of the keys:

${demoAsks.map(ask => curl(daemon.url, ask, keys[ask.platform])).join('\n\n')}

Claude Code, Codex or Gemini CLI, or anything built on the vendors' SDKs:

  export ANTHROPIC_BASE_URL=${daemon.url} ANTHROPIC_API_KEY=${keys.anthropic}
  export OPENAI_BASE_URL=${daemon.url}/v1 OPENAI_API_KEY=${keys.openai}
  export GOOGLE_GEMINI_BASE_URL=${daemon.url} GEMINI_API_KEY=${keys.gemini}

What it is doing, live, and what it has recorded:

  ${gw} top --data-dir ${folder}
  ${gw} usage list --data-dir ${folder}

Status page: ${daemon.opsUrl}/ops/
Metrics: ${daemon.opsUrl}/metrics
Ctrl-C stops it and removes everything.
`
}

function curl(url: string, { what, path, header, body }: (typeof demoAsks)[number], key: string): string {
  const headers = [header(key), ['content-type', 'application/json']].map(([name, value]) => `-H '${name}: ${value}'`)
  return `  # ${what}\n  curl -N '${url}${path}' ${headers.join(' ')} \\\n    -d '${JSON.stringify(body)}'`
}

/** A few requests now and then, in each dialect in turn, until it is told to stop. */
function startTraffic(url: string, keys: Keys): () => void {
  const stop = new AbortController()
  let sent = 0
  const one = async () => {
    const { platform, path, header, body } = demoAsks[sent++ % demoAsks.length]!
    const [name, value] = header(keys[platform])
    try {
      const reply = await fetch(url + path, {
        method: 'POST',
        headers: { [name!]: value!, 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: stop.signal,
      })
      await reply.arrayBuffer()
    } catch {
      // Stopped: the demo is ending.
    }
  }
  const timer = setInterval(() => void one(), 700)
  return () => {
    clearInterval(timer)
    stop.abort()
  }
}

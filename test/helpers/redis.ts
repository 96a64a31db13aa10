// A real Redis for tests: the machine's, or Debian's unpacked beside the dependencies without installing anything.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { cacheOf, missing, unpack } from './debian.ts'

const run = promisify(execFile)
const cache = cacheOf('redis')

interface Program {
  file: string
  env: NodeJS.ProcessEnv
}

export interface RedisServer {
  /** as `redis.url` has it */
  url: string
  pid(): number
  /** A client beside the store's, to look and to meddle; closed when the test ends. */
  client(): Redis
  /** SIGKILL: it is gone, and everything in it. */
  kill(): Promise<void>
  start(): Promise<void>
}

/** Waits for a fact; fails the test when it has not come true in a minute: the machine may be slow. */
export async function until(t: Test, fact: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000
  while (!(await holds())) {
    if (Date.now() > deadline) {
      t.fail(`never came true: ${fact}`)
      throw new Error(`never came true: ${fact}`)
    }
    await wait(10)
  }
}

let found: Promise<Program | string> | undefined

/** Why no Redis can be had here, as `skip` wants it; false when there is one. */
export async function redisMissing(): Promise<string | false> {
  const program = await (found ??= findRedis())
  return typeof program === 'string' ? program : false
}

/** A server of the test's own, on a unix socket or, with `port`, on loopback; without a trace on disk. */
export async function redisServer(
  t: Test,
  { port, password, args = [] }: { port?: number; password?: string; args?: string[] } = {},
): Promise<RedisServer> {
  const program = await (found ??= findRedis())
  if (typeof program === 'string') throw new Error(program)
  const dir = mkdtempSync(path.join(tmpdir(), 'gw-redis-'))
  const socket = path.join(dir, 's')
  const where = port ? ['--port', `${port}`, '--bind', '127.0.0.1'] : ['--port', '0', '--unixsocket', socket]
  const options = [...where, '--dir', dir, '--save', '', '--appendonly', 'no', '--loglevel', 'warning', ...args]
  if (password) options.push('--requirepass', password)
  const login = password ? `:${encodeURIComponent(password)}@` : ''
  let child: ChildProcess | undefined
  const client = () => {
    const redis = new Redis({
      ...(port ? { port } : { path: socket }),
      ...(password && { password }),
      retryStrategy: null,
    })
    redis.on('error', () => {})
    t.teardown(() => redis.disconnect())
    return redis
  }

  const server: RedisServer = {
    url: port ? `redis://${login}127.0.0.1:${port}` : `unix://${login && `${login}localhost`}${socket}`,
    pid: () => child!.pid!,
    client,
    async start() {
      child = spawn(program.file, options, { env: program.env, stdio: ['ignore', 'pipe', 'inherit'] })
      child.stdout!.resume()
      const mine = child
      await until(t, 'redis-server answers', async () => {
        if (mine.exitCode !== null) throw new Error(`redis-server ended with ${mine.exitCode}`)
        const redis = client()
        const pong = await redis.ping().catch(() => undefined)
        redis.disconnect()
        return pong === 'PONG'
      })
    },
    async kill() {
      if (!child || child.exitCode !== null || child.signalCode !== null) return
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    },
  }
  t.teardown(async () => {
    await server.kill()
    rmSync(dir, { recursive: true, force: true })
  })
  await server.start()
  return server
}

/** Three servers that are one cluster; as a `redis.url`. */
export async function redisCluster(t: Test): Promise<{ url: string; servers: RedisServer[] }> {
  const ports = [await freePort(), await freePort(), await freePort()]
  const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000']
  const servers = await Promise.all(ports.map(port => redisServer(t, { port, args })))
  const clients = servers.map(server => server.client())
  // What `redis-cli --cluster create` does, without needing redis-cli.
  for (const [i, client] of clients.entries()) {
    const slots = Array.from({ length: 16_384 }, (_, slot) => slot)
    await client.cluster('ADDSLOTS', ...slots.filter(slot => Math.floor((slot * 3) / 16_384) === i))
    await client.cluster('SET-CONFIG-EPOCH', i + 1)
    if (i > 0) await client.cluster('MEET', '127.0.0.1', ports[0]!)
  }
  for (const client of clients)
    await until(t, 'the cluster is whole', async () => {
      const info = String(await client.cluster('INFO'))
      return /cluster_state:ok/.test(info) && /cluster_known_nodes:3/.test(info) && /cluster_size:3/.test(info)
    })
  return { url: servers.map(server => server.url).join(','), servers }
}

/** A loopback port that is free, and so is the one 10000 above, which a cluster's servers use among themselves. */
export async function freePort(): Promise<number> {
  // Below the ports that outgoing connections get: nobody takes it between here and the server's start.
  const port = 10_000 + Math.floor(Math.random() * 12_000)
  return (await isFree(port)) && (await isFree(port + 10_000)) ? port : freePort()
}

function isFree(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise(resolve => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

async function findRedis(): Promise<Program | string> {
  const onPath = await works({ file: 'redis-server', env: process.env })
  if (onPath) return onPath
  const unpacked = await works(inside(cache))
  if (unpacked) return unpacked
  try {
    await unpack('redis', packages, finish, () => works(inside(cache)))
    return (
      (await works(inside(cache))) ?? 'no redis-server on PATH, and the one in the Debian packages does not run here'
    )
  } catch (error) {
    return missing('redis-server', error)
  }
}

async function works(program: Program): Promise<Program | undefined> {
  const version = await run(program.file, ['--version'], { env: program.env }).catch(() => undefined)
  return version && /v=([6-9]|\d\d)\./.test(version.stdout) ? program : undefined
}

function inside(folder: string): Program {
  const lib = path.join(folder, 'usr/lib')
  const libraries = existsSync(lib) ? readdirSync(lib).map(name => path.join(lib, name)) : []
  return {
    file: path.join(folder, 'usr/bin/redis-server'),
    env: { ...process.env, LD_LIBRARY_PATH: libraries.join(':') },
  }
}

// redis-server is not in a package of its own but a name for redis-check-rdb, which is in redis-tools.
const packages = ['redis-tools', 'libatomic1', 'libjemalloc2', 'liblzf1']
const finish = (folder: string) => symlinkSync('redis-check-rdb', path.join(folder, 'usr/bin/redis-server'))

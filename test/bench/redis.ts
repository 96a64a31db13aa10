// A case of throughput with leases in Redis: a server for each checkout, off the gateway's core, keeping nothing on disk.
import { spawnSync } from 'node:child_process'
import { freePort } from '../helpers/port.ts'
import { said, start, stop } from './children.ts'
import { compare } from './compare.ts'
import type { Lab } from './lab.ts'
import type { Row } from './table.ts'

export async function withRedis(lab: Lab): Promise<Row[]> {
  if (spawnSync('redis-server', ['--version']).error) {
    lab.note('redis-server is not installed.')
    return []
  }
  const servers = []
  for (const site of lab.small) {
    const port = await freePort()
    const words = `redis-server --port ${port} --bind 127.0.0.1 --appendonly no --daemonize no`.split(' ')
    const server = start(`redis-${site.name}`, 'load', [...words, '--save', ''])
    await said(server, /Ready to accept connections/)
    await site.up({ GW_REDIS_URL: `redis://127.0.0.1:${port}` })
    servers.push(server)
  }
  try {
    return await compare(lab, { what: 'JSON 1 KB, c 16, Redis', shape: 'json', connections: 16, warm: 30_000 })
  } finally {
    await Promise.all(lab.small.map(site => site.down()))
    await Promise.all(servers.map(stop))
  }
}

// Other gateways on the same path, where they are installed: nginx and HAProxy with one worker and an access log.
import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { freePort } from '../helpers/port.ts'
import { folder, type Started, start } from './children.ts'
import { type Use, use } from './proc.ts'

/** Something that takes requests. */
export interface Gate {
  name: string
  port: number
  keys: readonly string[]
  /** where it writes, with a line for each garbage collection if it has such */
  log: string
  used(): Use
}

const nginx = (port: number, upstream: number) => `
daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log ${folder}/nginx.error.log; user root;
events { worker_connections 4096; }
http {
  access_log ${folder}/nginx.access.log;
  client_body_temp_path ${folder}/nginx-body; proxy_temp_path ${folder}/nginx-proxy; fastcgi_temp_path ${folder}/nginx-f;
  uwsgi_temp_path ${folder}/nginx-u; scgi_temp_path ${folder}/nginx-s;
  client_max_body_size 100m; client_body_buffer_size 1m; keepalive_requests 1000000000;
  upstream provider { server 127.0.0.1:${upstream}; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
  }
}`

const haproxy = (port: number, upstream: number) => `
global
  nbthread 1
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect 10s
  timeout client 300s
  timeout server 300s
frontend clients
  bind 127.0.0.1:${port}
  default_backend providers
backend providers
  http-reuse always
  server provider 127.0.0.1:${upstream}
`

const known = [
  { name: 'nginx', program: 'nginx', config: nginx, args: (file: string) => ['-c', file] },
  { name: 'HAProxy', program: 'haproxy', config: haproxy, args: (file: string) => ['-db', '-f', file] },
]

export async function startOthers(upstream: number, note: (text: string) => void) {
  const started: { gate: Gate; started: Started }[] = []
  for (const { name, program, config, args } of known) {
    const found = [`/usr/sbin/${program}`, `/usr/bin/${program}`, `/usr/local/sbin/${program}`].find(existsSync)
    if (!found) {
      note(`${name} is not installed.`)
      continue
    }
    const port = await freePort()
    const file = path.join(folder, `${program}.conf`)
    writeFileSync(file, config(port, upstream))
    const process = start(program, 'gateway', [found, ...args(file)])
    await listening(port)
    const version = spawnSync(found, ['-v'], { encoding: 'utf8' })
    note(`${name}: ${/[\d.]{4,}/.exec(version.stdout + version.stderr)?.[0]}`)
    started.push({
      gate: { name, port, keys: ['sk-any'], log: process.log, used: () => use(process.pid) },
      started: process,
    })
  }
  note("Portkey's gateway is not installed.")
  return started
}

async function listening(port: number) {
  for (let tried = 0; tried < 100; tried++) {
    const reply = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(100) }).catch(error => error)
    if (!/ECONNREFUSED/.test(String((reply as Error).cause))) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error(`nothing listens on port ${port}; see ${folder}`)
}

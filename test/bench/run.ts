// `npm run bench`: requests/s at c = 16 against the provider directly, through a bare node:http proxy, and through gw, in one run.
//
// Ratios of one run are the result; absolute numbers depend on the machine. Everything is on loopback and stops by itself.
import { execFile, spawn, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

const ROUNDS = Number(process.env['GW_TEST_ROUNDS'] ?? 5)
const SECONDS = Number(process.env['GW_TEST_SECONDS'] ?? 4)
const CONNECTIONS = 16
const here = import.meta.dirname
const run = promisify(execFile)

interface Target {
  name: string
  url: string
  pid: number
}
interface Result {
  perSecond: number
  /** of the target's process; the provider's for `direct` */
  cpuUs: number
}

const children: ReturnType<typeof spawn>[] = []

/** Starts a script and resolves with the words of its first line. */
function start(script: string, args: string[], stream: 'stdout' | 'stderr'): Promise<{ words: string[]; pid: number }> {
  const child = spawn(process.execPath, [path.join(here, script), ...args], {
    stdio: ['ignore', stream === 'stdout' ? 'pipe' : 'ignore', stream === 'stderr' ? 'pipe' : 'inherit'],
  })
  children.push(child)
  return new Promise((resolve, reject) => {
    let text = ''
    child[stream]!.on('data', chunk => {
      text += chunk
      if (/^http.*\n/.test(text)) resolve({ words: text.trim().split(' '), pid: child.pid! })
    })
    child.on('exit', code => reject(new Error(`${script} ended with ${code}: ${text}`)))
  })
}

function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return Number(fields[11]) + Number(fields[12])
}

const wrk = spawnSync('wrk', ['-v']).error === undefined

async function load(url: string, body: string, key: string): Promise<number> {
  const headers = { 'content-type': 'application/json', 'x-api-key': key }
  if (!wrk) {
    const args = [
      '-c',
      String(CONNECTIONS),
      '-d',
      String(SECONDS),
      '-m',
      'POST',
      '-b',
      body,
      '-j',
      ...Object.entries(headers).flatMap(([k, v]) => ['-H', `${k}=${v}`]),
      url,
    ]
    const { stdout } = await run(path.join(here, '../../node_modules/.bin/autocannon'), args, { maxBuffer: 1 << 26 })
    const result = JSON.parse(stdout) as { non2xx: number; requests: { average: number } }
    if (result.non2xx > 0) throw new Error(`${result.non2xx} answers were no 2xx`)
    return result.requests.average
  }
  const script = path.join(tmpdir(), `gw-bench-${process.pid}.lua`)
  writeFileSync(
    script,
    `wrk.method="POST"\n${Object.entries(headers)
      .map(([k, v]) => `wrk.headers["${k}"]="${v}"`)
      .join('\n')}\nwrk.body=[[${body}]]\n`,
  )
  const { stdout } = await run('wrk', ['-t1', `-c${CONNECTIONS}`, `-d${SECONDS}s`, '-s', script, url])
  if (/Non-2xx/.test(stdout)) throw new Error(stdout)
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)![1])
}

async function measure(target: Target, body: string, key: string): Promise<Result> {
  const before = cpuTicks(target.pid)
  const perSecond = await load(`${target.url}/v1/messages`, body, key)
  return { perSecond, cpuUs: ((cpuTicks(target.pid) - before) * 10_000) / (perSecond * SECONDS) }
}

const median = (list: number[]) => list.toSorted((a, b) => a - b)[list.length >> 1]!

try {
  const provider = await start('provider.ts', [], 'stdout')
  const bare = await start('bare-proxy.ts', [provider.words[0]!], 'stdout')
  const gw = await start('daemon.ts', [provider.words[0]!], 'stderr')
  const targets: Target[] = [
    { name: 'provider, directly', url: provider.words[0]!, pid: provider.pid },
    { name: 'bare node:http proxy', url: bare.words[0]!, pid: bare.pid },
    { name: 'gw', url: gw.words[0]!, pid: gw.pid },
  ]
  const message = 'hello '.repeat(160)
  for (const stream of [false, true]) {
    const body = JSON.stringify({
      model: 'claude-sonnet-5-5',
      max_tokens: 64,
      stream,
      messages: [{ role: 'user', content: message }],
    })
    const results = new Map<string, Result[]>()
    for (const target of targets) await load(`${target.url}/v1/messages`, body, gw.words[1]!) // warm
    for (let round = 0; round < ROUNDS; round++)
      for (const target of targets)
        results.set(target.name, [...(results.get(target.name) ?? []), await measure(target, body, gw.words[1]!)])
    const middle = (name: string) => ({
      perSecond: median(results.get(name)!.map(r => r.perSecond)),
      cpuUs: median(results.get(name)!.map(r => r.cpuUs)),
    })
    const direct = middle('provider, directly')
    const plain = middle('bare node:http proxy')
    console.log(
      `\n${stream ? 'SSE, 8 events' : 'JSON'}, body ${body.length} B, c = ${CONNECTIONS}, median of ${ROUNDS} × ${SECONDS} s, ${wrk ? 'wrk' : 'autocannon'}, node ${process.versions.node}\n`,
    )
    console.log('| | requests/s | of direct | of bare | CPU µs a request | of bare |\n|---|---|---|---|---|---|')
    for (const { name } of targets) {
      const r = middle(name)
      console.log(
        `| ${name} | ${r.perSecond.toFixed(0)} | ${(r.perSecond / direct.perSecond).toFixed(3)} | ${(r.perSecond / plain.perSecond).toFixed(2)} | ${r.cpuUs.toFixed(0)} | ${(r.cpuUs / plain.cpuUs).toFixed(2)} |`,
      )
    }
  }
} finally {
  for (const child of children) child.kill('SIGTERM')
}

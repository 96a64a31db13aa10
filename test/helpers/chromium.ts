// A real Chromium without a screen for tests, spoken to by its DevTools protocol.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { until } from './gateway.ts'

const run = promisify(execFile)

export interface Tab {
  /** The value of an expression in the page, by copy. @throws Error when it throws there */
  evaluate<T>(expression: string): Promise<T>
  /** Waits until it is true in the page. */
  until(fact: string, expression: string): Promise<void>
  /** What the page threw, logged as an error, or was forbidden by its policy. */
  complaints: string[]
  /** as PNG */
  screenshot(): Promise<Buffer>
  /** Calls a method of the protocol. */
  call(method: string, params?: object): Promise<Record<string, unknown>>
}

let found: Promise<string | undefined> | undefined

async function findChromium(): Promise<string | undefined> {
  for (const name of ['chromium', 'chromium-browser', 'google-chrome'])
    if (await run(name, ['--version']).catch(() => undefined)) return name
  return undefined
}

/**
 * Why there is no Chromium here, as `skip` wants it; false when there is one. CI installs it (.ci/run). Elsewhere it is the
 * machine's or nobody's: with what it needs it is half a gigabyte, too much to fetch behind anybody's back.
 */
export async function chromiumMissing(): Promise<string | false> {
  return (await (found ??= findChromium())) === undefined && 'no chromium on PATH (Debian: apt-get install chromium)'
}

/** A tab of a browser of its own that shows `url`; both are gone when the test ends. */
export async function openTab(t: Test, url: string, size = { width: 1200, height: 900 }): Promise<Tab> {
  const program = await (found ??= findChromium())
  const folder = mkdtempSync(path.join(tmpdir(), 'gw-chromium-'))
  const child = spawn(
    program!,
    [
      '--headless=new',
      // As root, and in containers, it has no sandbox to put itself into.
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--disable-background-networking',
      '--no-first-run',
      '--remote-debugging-port=0',
      `--user-data-dir=${folder}`,
      `--window-size=${size.width},${size.height}`,
      'about:blank',
    ],
    { stdio: 'ignore', detached: true },
  )
  t.teardown(async () => {
    await end(child)
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  })
  const portFile = path.join(folder, 'DevToolsActivePort')
  const port = () => (existsSync(portFile) ? readFileSync(portFile, 'utf8').split('\n') : [])
  await until(t, 'Chromium listens', () => {
    if (child.exitCode !== null) throw new Error(`Chromium ended with ${child.exitCode}`)
    return port().length > 1
  })
  let target: { webSocketDebuggerUrl: string } | undefined
  await until(t, 'it has a tab', async () => {
    const list = (await (await fetch(`http://127.0.0.1:${port()[0]}/json/list`)).json()) as { type: string }[]
    target = list.find(one => one.type === 'page') as typeof target
    return target !== undefined
  })
  const socket = new WebSocket(target!.webSocketDebuggerUrl)
  t.teardown(() => socket.terminate())
  await once(socket, 'open')

  interface Answer {
    id?: number
    method?: string
    params?: Record<string, unknown>
    result?: Record<string, unknown>
    error?: { message: string }
  }
  const waiting = new Map<number, (answer: Answer) => void>()
  const complaints: string[] = []
  let calls = 0
  socket.on('message', data => {
    const answer = JSON.parse(String(data)) as Answer
    if (answer.id !== undefined) waiting.get(answer.id)?.(answer)
    else if (answer.method === 'Runtime.exceptionThrown') complaints.push(JSON.stringify(answer.params))
    else if (answer.method === 'Log.entryAdded') {
      const { entry } = answer.params as { entry: { level: string; source: string; text: string } }
      if (entry.level === 'error') complaints.push(`${entry.source}: ${entry.text}`)
    }
  })
  const call = (method: string, params: object = {}) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      const id = ++calls
      waiting.set(id, ({ result, error }) => {
        waiting.delete(id)
        if (error) reject(new Error(`${method}: ${error.message}`))
        else resolve(result ?? {})
      })
      socket.send(JSON.stringify({ id, method, params }))
    })
  for (const domain of ['Runtime', 'Log', 'Page']) await call(`${domain}.enable`)
  await call('Page.navigate', { url })

  async function evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = (await call('Runtime.evaluate', {
      expression,
      returnByValue: true,
      awaitPromise: true,
    })) as { result: { value: T }; exceptionDetails?: { text: string } }
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.text}`)
    return result.value
  }
  return {
    evaluate,
    // While the page loads, what is asked for is not there yet.
    until: (fact, expression) => until(t, fact, () => evaluate<boolean>(`Boolean(${expression})`).catch(() => false)),
    complaints,
    screenshot: async () => Buffer.from((await call('Page.captureScreenshot')).data as string, 'base64'),
    call,
  }
}

// Its helpers are processes of its group, and go with it.
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  process.kill(-child.pid!, 'SIGKILL')
  await gone
}

// `gw top` as a process: frames for scripts, and the terminal given back however it ends.
import { spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import type { TopOptions } from '../../src/tui/main.ts'
import { morning, type ScriptedDaemon, scriptedDaemon, until } from './daemon.ts'

const ESC = '\x1b'
const main = path.resolve(import.meta.dirname, '../../src/tui/main.ts')

/** What the command would do with the exit code and with a refusal. */
function program(socket: string, options: Partial<TopOptions>): string {
  const all = { socket, once: false, json: false, batch: false, count: 0, ...options }
  return `import { runTop } from ${JSON.stringify(main)}
    import fs from 'node:fs'
    if (process.env.PID_FILE) fs.writeFileSync(process.env.PID_FILE, String(process.pid))
    process.stdout.on('error', () => {})
    try { process.exitCode = await runTop(${JSON.stringify(all)}) }
    catch (error) { console.error(error.kind, error.message); process.exitCode = 4 }`
}

const node = (source: string) => [process.execPath, '--input-type=module', '-e', source] as const
const quoted = (words: readonly string[]) => words.map(word => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')

interface Running {
  said(): string
  ended: Promise<{ code: number | null; out: string; err: string }>
  stdin: NodeJS.WritableStream
}

function start(words: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(words[0]!, words.slice(1), { env: { ...process.env, LC_ALL: 'C.UTF-8', ...env } })
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', chunk => (out += chunk))
  child.stderr.setEncoding('utf8').on('data', chunk => (err += chunk))
  return {
    said: () => out,
    ended: new Promise(resolve => child.on('close', code => resolve({ code, out, err }))),
    stdin: child.stdin,
  }
}

t.test('frames for scripts', async t => {
  const daemon = scriptedDaemon(t, morning)
  await daemon.start()
  const run = (options: Partial<TopOptions>) => start(node(program(daemon.socket, options))).ended

  const document = await run({ once: true, json: true })
  t.same(JSON.parse(document.out), morning)
  t.match(document, { code: 0, err: '' })

  const lines = (await run({ batch: true, json: true, count: 2 })).out.split('\n')
  t.same(
    lines.map(line => line && JSON.parse(line)),
    [morning, morning, ''],
  )

  const once = await run({ once: true })
  t.match(once, { code: 0, err: '' })
  t.match(once.out, /^gw top 08:30:00Z\nrequests 12\/s .*\n/)
  t.match(once.out, /\nclaude-b .* rate_limited +4m12s +429 from upstream: .* has exceeded your rate limit\n/, 'whole')
  t.match(once.out, /\nbob .*[\s\S]*\nspare +openai +10\/10 +3 +0 of 1\n/)
  t.notOk(once.out.includes(ESC) || once.out.includes('█'), 'neither colours nor bars')
  t.equal((await run({})).out, once.out, 'no terminal, no wish: one frame')

  await daemon.stop()
  t.match(await run({ once: true, json: true }), { code: 4, out: '', err: /^unreachable no gw daemon answers on / })
})

const noTerminal = spawnSync('script', ['--version']).stdout?.includes('util-linux')
  ? false
  : 'needs script(1) of util-linux for a terminal'

t.test('on a terminal', { skip: noTerminal }, async t => {
  const daemon = scriptedDaemon(t, morning)
  await daemon.start()

  t.test('q gives the terminal back', async t => {
    const top = await onTerminal(t, daemon)
    t.match(top.said(), `${ESC}[?1049h`, 'in the alternate screen')
    top.stdin.write('q')
    restored(t, await top.ended, 0)
  })

  t.test('so does SIGTERM, and the exit code tells', async t => {
    const top = await onTerminal(t, daemon)
    process.kill(top.pid(), 'SIGTERM')
    restored(t, await top.ended, 143)
  })

  t.test('q is heard while the daemon hangs', async t => {
    daemon.say('hang')
    t.teardown(() => daemon.say(morning))
    const asked = daemon.asked()
    const top = await onTerminal(t, daemon, /connecting/)
    await until(() => daemon.asked() > asked, top.said)
    top.stdin.write('q')
    restored(t, await top.ended, 0)
  })

  t.test('NO_COLOR is heard', async t => {
    const sgr = new RegExp(`${ESC}\\[[\\d;]*m`)
    const plain = await onTerminal(t, daemon, undefined, { NO_COLOR: '1' })
    plain.stdin.write('q')
    t.notMatch((await plain.ended).out, sgr)
    const coloured = await onTerminal(t, daemon, undefined, { NO_COLOR: '', FORCE_COLOR: '1' })
    coloured.stdin.write('q')
    t.match((await coloured.ended).out, sgr)
  })
})

/** Runs it in a terminal of 90x24, and waits for the first screen that matches. */
async function onTerminal(t: Test, daemon: ScriptedDaemon, first = /claude-b/, env: NodeJS.ProcessEnv = {}) {
  const pidFile = path.join(t.testdir({}), 'pid')
  const command = `stty cols 90 rows 24; exec ${quoted(node(program(daemon.socket, {})))}`
  const running = start(['script', '-qefc', command, '/dev/null'], { TERM: 'xterm', PID_FILE: pidFile, ...env })
  await until(() => first.test(running.said()), running.said)
  return { ...running, pid: () => Number(fs.readFileSync(pidFile, 'utf8')) }
}

function restored(t: Test, { code, out }: { code: number | null; out: string }, expected: number) {
  t.equal(code, expected)
  const after = out.slice(out.lastIndexOf('\x1b[?1049l'))
  t.ok(after.startsWith(`${ESC}[?1049l`), 'the alternate screen is left')
  t.match(after, `${ESC}[?25h`, 'the cursor is back')
  t.notMatch(after, /claude/, 'nothing is drawn on the shell')
}

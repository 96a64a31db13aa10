// Lines of the log and whoever reads them: a reader that stands still, one that leaves, and one that takes its time.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import { fileSink, LogOut, type LogOutOptions, streamSink } from '../../src/lib/log-out.ts'
import { until } from '../helpers/gateway.ts'

/** A log, and the other end of its socket, which reads nothing until it is told to. */
async function read(t: Test, options: Partial<LogOutOptions> = {}) {
  const folder = mkdtempSync(path.join(tmpdir(), 'gw-log-'))
  const server = net.createServer({ pauseOnConnect: true }).listen(path.join(folder, 'log'))
  await once(server, 'listening')
  const socket = net.connect(path.join(folder, 'log'))
  const [reader] = (await once(server, 'connection')) as [net.Socket]
  t.teardown(() => {
    reader.destroy()
    socket.destroy()
    server.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const told: number[] = []
  const out = new LogOut(streamSink(socket), {
    told: dropped => {
      told.push(dropped)
      out.write(`dropped ${dropped}\n`)
    },
    worth: 100,
    ...options,
  })
  let text = ''
  reader.on('data', bytes => (text += bytes))
  return { out, reader, told, lines: () => text.split('\n').slice(0, -1) }
}

// 1 KB, so that a socket is soon full.
const line = (n: number) => `${n} ${'x'.repeat(1_000)}\n`
const numbers = (lines: string[]) => lines.map(text => Number(text.split(' ')[0]))
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i)

t.test('a reader that stands still is waited for by so many lines and no more; the others are counted', async t => {
  for (const [what, bound] of [
    ['lines', { mostLines: 1_000 }],
    ['characters', { mostCharacters: 1_000_000 }],
  ] as const) {
    const { out, reader, told, lines } = await read(t, bound)
    let n = 0
    while (!out.state().stuck) {
      out.write(line(n++))
      await new Promise(resolve => setImmediate(resolve))
    }
    const kept = n - 1
    for (let more = 0; more < 50; more++) out.write(line(n++))
    t.match(out.state(), { dropped: 51, stuck: true }, what)
    t.ok(out.state().waiting <= 1_000, `${out.state().waiting} wait`)
    reader.resume()
    await until(t, 'there is room again', () => !out.state().stuck)
    out.write(line(n))
    await out.flush(60_000)
    await until(t, 'all is read', () => lines().length === kept + 2)
    t.strictSame(numbers(lines().slice(0, kept)), upTo(kept), 'what was kept is there, in order')
    t.strictSame(lines()[kept], 'dropped 51', 'and in the place of what was not, how much that is')
    t.strictSame(numbers(lines().slice(kept + 1)), [n])
    t.strictSame(told, [51])
    t.strictSame(out.state(), { waiting: 0, dropped: 51, stuck: false })
  }
})

t.test('a reader that leaves, and one that never reads: the end does not wait for either', async t => {
  const gone = await read(t)
  gone.reader.destroy()
  await until(t, 'it is found out', () => {
    gone.out.write(line(0))
    return gone.out.state().dropped > 0
  })
  t.match(gone.out.state(), { waiting: 0, stuck: false }, 'nobody is there to be told')
  await gone.out.flush(60_000)

  const still = await read(t)
  for (const n of upTo(2_000)) still.out.write(line(n))
  await still.out.flush(1)
  t.ok(still.out.state().waiting > 0)
})

t.test('a line that is longer than all that may wait is dropped and told, and those after it are written', async t => {
  const { out, reader, told, lines } = await read(t, { mostCharacters: 1_000 })
  reader.resume()
  out.write(line(0))
  out.write('after it\n')
  await out.flush(60_000)
  await until(t, 'it is read', () => lines().length === 2)
  t.strictSame(lines(), ['dropped 1', 'after it'])
  t.strictSame(told, [1])
  t.strictSame(out.state(), { waiting: 0, dropped: 1, stuck: false })
})

t.test('a few lines wait for others, but not long', async t => {
  const { out, reader, lines } = await read(t, { worth: 10_000, soonMs: 1 })
  reader.resume()
  out.write('one\n')
  await until(t, 'it is written', () => lines().length === 1)
})

t.test('a file that takes half a line and no more is tried again with the other half', async t => {
  const file = path.join(t.testdir(), 'log')
  const fd = openSync(file, 'w')
  t.teardown(() => closeSync(fd))
  const limit = (...more: string[]) =>
    execFileSync('prlimit', ['--pid', `${process.pid}`, ...more])
      .toString()
      .trim()
  const before = limit('--fsize', '--output', 'SOFT', '--noheadings')
  const bytes = 20_500
  // Else it would end this process; a disk that is full sends none.
  process.on('SIGXFSZ', () => {})
  limit(`--fsize=${bytes}:`)
  t.teardown(() => limit(`--fsize=${before}:`))
  const out = new LogOut(fileSink(fd, 1), { told: () => {}, worth: 1 })
  for (const n of upTo(50)) out.write(line(n))
  await until(t, 'the file is full', () => statSync(file).size === bytes)
  await out.flush(10)
  t.ok(out.state().waiting > 0)
  limit(`--fsize=${before}:`)
  await out.flush(60_000)
  t.strictSame(readFileSync(file, 'utf8'), upTo(50).map(line).join(''), 'each line is there once, and none is torn')
  t.equal(out.state().dropped, 0)
})

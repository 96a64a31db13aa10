// What test files are loaded with: an error that nobody awaits fails the file in which it happens, and is told.
import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

const fixture = path.join(import.meta.dirname, '../fixtures/unawaited.ts')
const options = {
  env: { PATH: process.env['PATH'], NODE_OPTIONS: `--import=${path.join(import.meta.dirname, 'load.mjs')}` },
}
const run = async (what: string) => {
  const done = promisify(execFile)(process.execPath, [fixture, what], options)
  const { stdout, code } = await done.then(
    ok => ({ ...ok, code: 0 }),
    (error: { stdout: string; code: number }) => error,
  )
  return { stdout, code }
}

t.test('an error that nobody awaits fails its file, and is told', async t => {
  const well = await run('nothing')
  t.equal(well.code, 0, well.stdout)
  for (const [what, words] of [
    ['a rejection', 'nobody awaits'],
    ['a throw', 'nobody catches'],
  ] as const) {
    const { code, stdout } = await run(what)
    t.not(code, 0, what)
    t.match(stdout, new RegExp(`^ *not ok \\d+ - ${words}$`, 'm'))
    t.match(stdout, /^ok \d+ - comes after/m, 'the others are run all the same')
  }
})

t.test('tap follows no promises', async t => {
  const { Domain } = (await import('async-hook-domain' as string)) as { Domain: { name: string; toString(): string } }
  t.notMatch(String(Domain), 'executionAsyncId')
})

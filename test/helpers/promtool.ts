// Prometheus's own judge of metrics and rules: the machine's promtool, or Debian's.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { cacheOf, missing, unpack } from './debian.ts'

const run = promisify(execFile)
const inside = path.join(cacheOf('promtool'), 'usr/bin/promtool')

let found: Promise<{ file: string } | string> | undefined

/** Why it cannot be had here, as `skip` wants it; false when it is there. */
export async function promtoolMissing(): Promise<string | false> {
  const program = await (found ??= find())
  return typeof program === 'string' ? program : false
}

/** Runs it. @returns its exit code and all that it said */
export async function promtool(args: readonly string[], input = ''): Promise<{ code: number; said: string }> {
  const program = await (found ??= find())
  if (typeof program === 'string') throw new Error(program)
  const child = spawn(program.file, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin.on('error', () => {}).end(input)
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { code: child.exitCode ?? -1, said: out + err }
}

async function find(): Promise<{ file: string } | string> {
  for (const file of ['promtool', inside]) if (await works(file)) return { file }
  try {
    // The package has the server, too, which is half of it.
    const finish = (folder: string) => {
      for (const rest of ['etc', 'lib', 'usr/share', 'usr/bin/prometheus', 'var'])
        rmSync(path.join(folder, rest), { recursive: true, force: true })
    }
    await unpack('promtool', ['prometheus'], finish, () => works(inside))
    return (await works(inside))
      ? { file: inside }
      : 'no promtool on PATH, and the one in the Debian package does not run here'
  } catch (error) {
    return missing('promtool', error)
  }
}

const works = (file: string) =>
  run(file, ['--version']).then(
    () => true,
    () => false,
  )

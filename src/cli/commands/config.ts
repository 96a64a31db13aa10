// gw config: finds out what configures gw, without starting anything.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Command } from 'commander'
import { Refusal } from '../../lib/refusal.ts'
import { why } from '../../lib/why.ts'
import type { Act } from '../command.ts'
import { examples, lists, writes } from '../declare.ts'

export function define(noun: Command, act: Act): void {
  noun.description('Configuration comes from flags, the environment and gw.yaml; "gw help config" tells more.')
  examples(noun, ['gw config init', 'gw config check --config ./gw.yaml', 'gw config show --origin'])

  noun
    .command('check')
    .description('read everything and report every mistake; exit code 3 when there is one')
    .action(
      act(async gw => {
        const { file, config } = await gw.load()
        const { readNamedFiles } = await import('../../core/named-files.ts')
        readNamedFiles(config)
        const from = file ?? 'no file; flags, environment and defaults'
        gw.out.print({ valid: true, file: file ?? null }, `configuration is valid (${from})`)
      }),
    )

  lists(noun.command('show'))
    .description('every setting with the value in force; secrets are masked')
    .option('--origin', 'and where it comes from')
    .action(
      act(async (gw, options: { origin?: boolean }) => {
        const { config, origin } = await gw.load()
        const { settingKeys, shown } = await import('../../config/schema.ts')
        const rows = settingKeys.map(key => ({ key, value: shown(key, config[key]), origin: origin[key] }))
        if (gw.out.json) {
          const plain = (key: (typeof settingKeys)[number]) => {
            const value = config[key]
            // Numbers that are written with a unit stay text: 90s, 100MB.
            if (value === undefined) return null
            return shown(key, value) === String(value) && typeof value !== 'string' ? value : shown(key, value)
          }
          const entries = rows.map(({ key, origin }) => {
            return [key, options.origin ? { value: plain(key), origin } : plain(key)] as const
          })
          gw.out.print(Object.fromEntries(entries), '')
        } else gw.out.list(rows, ({ origin, ...rest }) => (options.origin ? { ...rest, origin } : rest), '')
      }),
    )

  noun
    .command('schema')
    .description('a JSON Schema of gw.yaml, for editors')
    .action(
      act(async gw => {
        const { jsonSchema } = await import('../../config/docs.ts')
        gw.out.print(jsonSchema(), JSON.stringify(jsonSchema(), null, 2))
      }),
    )

  writes(noun.command('init'))
    .description('write an example gw.yaml, all commented out, to --config or where gw looks for it')
    .action(
      act(async gw => {
        const [{ exampleYaml }, { xdg }] = await Promise.all([
          import('../../config/docs.ts'),
          import('../../config/schema.ts'),
        ])
        const usual =
          process.getuid?.() === 0
            ? '/etc/gw/gw.yaml'
            : path.join(xdg(gw.shell.env, 'XDG_CONFIG_HOME', '.config'), 'gw/gw.yaml')
        const file = path.resolve(gw.shell.cwd(), gw.loadOptions().file ?? usual)
        create(file, exampleYaml(), gw.dryRun)
        gw.out.print({ file }, file)
        gw.out.note(gw.dryRun ? 'dry run: nothing changed' : 'edit it, then try it: gw config check')
      }),
    )
}

/** @throws Refusal `conflict` when the file is there; with `dryRun` it only looks */
function create(file: string, text: string, dryRun: boolean): void {
  const taken = new Refusal('conflict', `${file} exists already and stays as it is; name another file with --config`)
  if (dryRun && existsSync(file)) throw taken
  if (dryRun) return
  try {
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, text, { flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw taken
    throw new Refusal('failure', `${file} cannot be written: ${why(error)}; name another file with --config`, {
      cause: error,
    })
  }
}

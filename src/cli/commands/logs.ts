// gw logs: what the daemon writes down.
import type { Command } from 'commander'
import type { Act } from '../command.ts'
import { examples } from '../declare.ts'
import type { LogsOptions } from '../logs/logs.ts'
import * as read from '../values.ts'

export function define(noun: Command, act: Act): void {
  noun
    .description('The latest lines of the running daemon (20 000, or 8 MB), the oldest first.')
    .option('-f, --follow', 'and what comes, until Ctrl-C')
    .option('--since <when>', 'only newer ones: a duration back, or a date', read.since('--since'))
    .option('--where <expression>', 'only those of which this is true')
    .option('--limit <n>', 'the newest n of them', read.whole('--limit', 1, 1_000_000))
    .option('--file <file>', 'read this file instead, - is stdin: what a journal or a container runtime kept')
    .addHelpText(
      'after',
      `
An expression compares fields: = != > >= < <= and ~ (has in it), joined by and, or, not and brackets. A field alone asks
whether the line has it. Fields are those of docs/errors.md: status, ms, account, user, key, model, cause, code, error …`,
    )
    .action(
      act(async (gw, options: LogsOptions) => {
        const { logs } = await import('../logs/logs.ts')
        await logs(gw, options)
      }),
    )
  examples(noun, [
    'gw logs -f',
    "gw logs --since 10m --where 'status>=500 and account=a7'",
    "gw logs --where 'cause~UT or ms>30000' --json",
    "journalctl -u gw -o cat --since yesterday | gw logs --file - --where 'code=QUEUE_FULL'",
  ])
}

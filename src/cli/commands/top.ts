// gw top: live view of the running daemon.
import type { Command } from 'commander'
import { Refusal } from '../../lib/refusal.ts'
import type { View } from '../../tui/main.ts'
import type { Act } from '../command.ts'
import { examples } from '../declare.ts'
import * as read from '../values.ts'

// As in tui/press.ts, which is not worth loading for a --help; the type keeps the two alike.
const views = ['all', 'users', 'accounts', 'groups'] as const satisfies readonly View[]

export function define(noun: Command, act: Act): void {
  noun
    .description('Shows accounts, users and traffic live; q quits, ? helps. Exit code 4 when no daemon answers.')
    .option('--once', 'print the present state and end')
    .option('--batch', 'print plain text again and again instead of drawing')
    .option('-n, --count <n>', 'so many times with --batch; default: until Ctrl-C', read.whole('-n', 1, 1_000_000))
    .option('--view <view>', `${views.join(', ')}; default: all`, read.oneOf('--view', views))
    .action(
      act(async (gw, options: { once?: boolean; batch?: boolean; count?: number; view?: View }) => {
        const { once = false, batch = false, count, view } = options
        if (count !== undefined && !batch) throw new Refusal('usage', '-n belongs to --batch: gw top --batch -n 3')
        const socket = await gw.socket()
        const { shell, out } = gw
        const { json } = out
        const { runTop } = await import('../../tui/main.ts')
        // The live screen has a terminal to put back in order first.
        const live = !once && !batch && !json && shell.stdout.isTTY && shell.env['TERM'] !== 'dumb'
        if (live) gw.ownSignals()
        return runTop({ socket, once, json, batch, count: count ?? 0, view, color: gw.color, terminal: shell })
      }),
    )
  examples(noun, ['gw top', 'gw top --once --json', 'gw top --batch -n 3'])
}

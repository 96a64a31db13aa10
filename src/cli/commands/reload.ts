// gw reload: the daemon reads its configuration again; all of it is checked before anything is applied.
import type { Command } from 'commander'
import type { ReloadAsked, ReloadView } from '../../control/view.ts'
import { Refusal } from '../../lib/refusal.ts'
import type { Act, Invocation } from '../command.ts'
import { examples, lists, writes } from '../declare.ts'
import { daemon } from '../live.ts'

/** @throws Refusal of the daemon, `unreachable` where none is found by what the file says now */
async function ask(gw: Invocation): Promise<ReloadView> {
  try {
    return await (await daemon(gw, true)).post<ReloadView>('/reload', { dry_run: gw.dryRun } satisfies ReloadAsked)
  } catch (error) {
    if (!(error instanceof Refusal) || error.kind !== 'unreachable') throw error
    const moved = 'after a change of data_dir or control.socket gw is still where it was, and takes a restart'
    throw new Refusal('unreachable', `${error.message}; ${moved}`, { cause: error })
  }
}

export function define(noun: Command, act: Act): void {
  writes(lists(noun))
    .description(
      'Has the daemon read its configuration again: file and files named in it, its own environment and flags.',
    )
    .addHelpText(
      'after',
      '\nAn invalid one is never applied: every mistake is named, and the exit code is 3. Requests under way go on.',
    )
    .action(
      act(async gw => {
        const view = await ask(gw)
        const { file, applied, restart, told, failed } = view
        const now = gw.dryRun ? 'at a reload' : 'now'
        const rows = [
          ...applied.map(one => ({ ...one, holds: now })),
          ...restart.map(one => ({ ...one, holds: 'after a restart' })),
        ]
        if (gw.out.json) gw.out.print(view, '')
        else
          gw.out.list(
            rows,
            ({ key, from, to, holds }) => ({ setting: key, from, to, holds }),
            'no setting is another than before',
          )
        gw.out.note(`read ${file ?? 'no file; environment, flags and defaults'}`)
        for (const line of [...told, ...failed]) gw.out.note(line)
        if (gw.dryRun) gw.out.note('dry run: nothing changed')
        return failed.length > 0 ? 8 : 0
      }),
    )
  examples(noun, ['gw reload', 'gw reload --dry-run', 'kill -HUP $(pidof gw)'])
}

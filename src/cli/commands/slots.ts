// gw slots: the places that requests hold under the limits of users, accounts and keys.
import type { Command } from 'commander'
import type { Cleared, SlotsToClear, SlotView } from '../../control/view.ts'
import { Refusal } from '../../lib/refusal.ts'
import { roughly } from '../../lib/units.ts'
import type { Act } from '../command.ts'
import { destroys, examples, lists } from '../declare.ts'
import { daemon } from '../live.ts'

const row = ({ kind, name, process, request_id, left_ms, age_ms, model, phase }: SlotView) => ({
  kind,
  name,
  process,
  request: request_id,
  left: roughly(left_ms),
  age: age_ms === null ? null : roughly(age_ms),
  model,
  phase,
})

export function define(noun: Command, act: Act): void {
  noun.description('A request holds a place of its user, its account and, where that has a limit, its key.')
  examples(noun, ['gw slots list', 'gw slots clear --account main'])

  lists(noun.command('list'))
    .description('list the places that are held, by any process, and until when unless they are renewed')
    .action(
      act(async gw => {
        const slots = await (await daemon(gw)).get<SlotView[]>('/slots')
        gw.out.list(slots, row, 'no place is held', ['process', 'left', 'phase', 'model'])
      }),
    )

  destroys(noun.command('clear'))
    .description('give places back that nobody gave back: of one user, account or key, else all')
    .option('--user <user>', 'name or number')
    .option('--account <account>', 'name or number')
    .option('--key <key>', 'name or number')
    .addHelpText(
      'after',
      '\nRequests under way go on; each takes its place again if that is free, and is ended if it is not.',
    )
    .action(
      act(async (gw, options: { user?: string; account?: string; key?: string }) => {
        const [named, ...more] = (['user', 'account', 'key'] as const).filter(kind => options[kind] !== undefined)
        if (more.length > 0) throw new Refusal('usage', 'give one of --user, --account and --key')
        const which: SlotsToClear = named === undefined ? {} : { kind: named, name: options[named]! }
        const control = await daemon(gw)
        const ask = (dry_run: boolean) => control.post<Cleared>('/slots/clear', { ...which, dry_run })
        // A dry run comes before the question: it refuses a wrong name, and its count belongs in the question.
        const { cleared: held } = await ask(true)
        const whose = named === undefined ? '' : ` of ${named} "${options[named]}"`
        await gw.confirm(`take back ${places(held)}${whose}`)
        const { cleared } = gw.dryRun ? { cleared: held } : await ask(false)
        gw.out.print({ cleared }, `${places(cleared)} cleared`)
        if (gw.dryRun) gw.out.note('dry run: nothing changed')
      }),
    )
}

const places = (n: number) => `${n} place${n === 1 ? '' : 's'}`

// gw sticky: the sessions that return to the account which has their prompt in cache.
import type { Command } from 'commander'
import type { BindingsToClear, BindingView, Cleared } from '../../control/view.ts'
import type { Act, Invocation } from '../command.ts'
import { destroys, examples, lists } from '../declare.ts'
import { daemon } from '../live.ts'

interface Filters {
  session?: string
  key?: string
  account?: string
}

const row = ({ at, ...binding }: BindingView) => ({ ...binding, last_turn: new Date(at) })

export function define(noun: Command, act: Act): void {
  noun.description('A session goes back to the account that served it, model by model, while that can serve.')
  examples(noun, ['gw sticky show --account main', 'gw sticky clear --group team'])

  lists(noun.command('show'))
    .description('show sessions and their accounts, the latest first')
    .option('--session <session>', 'only this one')
    .option('--key <key>', 'only of this key: name, number or the beginning that is shown')
    .option('--account <account>', 'only at this account: name or number')
    .action(
      act(async (gw, options: Filters) => {
        const control = await daemon(gw)
        const [bindings, { session, key, account }] = [
          await control.get<BindingView[]>('/sticky'),
          await named(gw, options),
        ]
        const fits = (b: BindingView) =>
          (session === undefined || b.session === session) &&
          (key === undefined || b.key === key) &&
          (account === undefined || b.account === account)
        gw.out.list(bindings.filter(fits), row, 'no session is bound to an account')
      }),
    )

  destroys(noun.command('clear'))
    .description('let sessions choose their accounts anew: of one group, else all')
    .option('--group <group>', 'name or number')
    .action(
      act(async (gw, options: { group?: string }) => {
        const which: BindingsToClear = options.group === undefined ? {} : { group: options.group }
        const control = await daemon(gw)
        const ask = (dry_run: boolean) => control.post<Cleared>('/sticky/clear', { ...which, dry_run })
        const { cleared: known } = await ask(true)
        const whose = options.group === undefined ? '' : ` of group "${options.group}"`
        await gw.confirm(`forget the accounts of ${sessions(known)}${whose}`)
        const { cleared } = gw.dryRun ? { cleared: known } : await ask(false)
        gw.out.print({ cleared }, `${sessions(cleared)} cleared`)
        if (gw.dryRun) gw.out.note('dry run: nothing changed')
      }),
    )
}

const sessions = (n: number) => `${n} session${n === 1 ? '' : 's'}`

/** The filters with the names of what they name. @throws Refusal `missing` */
async function named(gw: Invocation, filters: Filters): Promise<Filters> {
  const found: Filters = { ...filters }
  if (filters.key !== undefined) {
    const { findKey } = await import('../../core/record/key.ts')
    found.key = (await findKey(await gw.db(), filters.key)).name
  }
  if (filters.account !== undefined) {
    const { findAccount } = await import('../../core/record/account.ts')
    found.account = (await findAccount(await gw.db(), filters.account)).name
  }
  return found
}

// gw queue: the requests that wait for a place.
import type { Command } from 'commander'
import type { WaiterView } from '../../control/view.ts'
import { roughly } from '../../lib/units.ts'
import type { Act } from '../command.ts'
import { examples, lists } from '../declare.ts'
import { daemon } from '../live.ts'

const row = ({ request_id, waited_ms, ...waiter }: WaiterView) => ({
  waited: roughly(waited_ms),
  ...waiter,
  request: request_id,
})

export function define(noun: Command, act: Act): void {
  noun.description('A request waits for a place of its user or key, or at any account of its group.')
  examples(noun, ['gw queue list', 'gw queue list --json | jq length'])

  lists(noun.command('list'))
    .description('list who waits, the longest first')
    .action(
      act(async gw => {
        const waiters = await (await daemon(gw)).get<WaiterView[]>('/queue')
        gw.out.list(waiters, row, 'nobody waits')
      }),
    )
}

// gw status: what the running daemon says of itself.
import type { Command } from 'commander'
import type { NodeStanding, StatusView } from '../../control/view.ts'
import type { Act } from '../command.ts'
import { examples } from '../declare.ts'
import { daemon } from '../live.ts'

const nodeText = ({ name, pid, shares, this: own }: NodeStanding) =>
  `${name} (pid ${pid}${own ? ', this one' : ''}${shares === 'redis' ? '' : shares === 'silent' ? ', its Redis is silent' : ', no Redis'})`

export function define(noun: Command, act: Act): void {
  noun.description('Asks the running daemon how it is; exit code 4 when there is none.').action(
    act(async gw => {
      const status = await (await daemon(gw)).get<StatusView>('/status')
      const { started_at, uptime_ms: _, config_read_at, nodes, ...fields } = status
      gw.out.record(status, {
        ...fields,
        started: new Date(started_at),
        config_file: status.config_file ?? 'none',
        config_read: new Date(config_read_at),
        needs_restart: status.needs_restart.join(', ') || 'nothing',
        // Alone there is nothing to say.
        ...(nodes.length > 1 && { nodes: nodes.map(nodeText).join(', ') }),
        degraded: status.degraded.join(', ') || 'nothing',
      })
    }),
  )
  examples(noun, ['gw status', 'gw status --json | jq .in_flight'])
}

// gw ping: whether the daemon answers.
import type { Command } from 'commander'
import type { Act } from '../command.ts'
import { examples } from '../declare.ts'
import { daemon } from '../live.ts'

export function define(noun: Command, act: Act): void {
  noun.description('Prints pong and the milliseconds it took; exit code 4 when no daemon answers.').action(
    act(async gw => {
      const client = await daemon(gw)
      const begun = performance.now()
      await client.get('/ping')
      const ms = Math.round((performance.now() - begun) * 10) / 10
      gw.out.print({ pong: true, ms }, `pong ${ms} ms`)
    }),
  )
  examples(noun, ['until gw ping; do sleep 1; done'])
}

// gw drain: takes a running daemon out of a load balancer's rotation, and puts it back.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import type { DrainAsked, Drained, StatusView } from '../../control/view.ts'
import { Refusal } from '../../lib/refusal.ts'
import { formatDuration } from '../../lib/units.ts'
import type { Act } from '../command.ts'
import { examples } from '../declare.ts'
import { daemon, requests } from '../live.ts'
import { duration } from '../values.ts'

const LOOK_MS = 100

export function define(noun: Command, act: Act): void {
  noun
    .description(
      'Lets no new request in: they hear 503 with Retry-After, /health and /readyz are 503. Requests under way go on, and so does gw, until gw drain --undo, gw stop or its end.',
    )
    .option('--wait', 'until no request is under way')
    .option('--timeout <duration>', 'with --wait: no longer than this; default: drain_timeout', duration('--timeout'))
    .option('--undo', 'let requests in again')
    .addHelpText(
      'after',
      '\nExit code 4 when no daemon answers, 7 when it is stopping, 8 when requests are still under way after --timeout.',
    )
    .action(
      act(async (gw, options: { wait?: boolean; timeout?: number; undo?: boolean }) => {
        const { wait = false, timeout, undo = false } = options
        if (undo && wait) throw new Refusal('usage', '--wait waits for a drain, which --undo ends; give one of them')
        if (timeout !== undefined && !wait) throw new Refusal('usage', '--timeout goes with --wait')
        // Before anything is asked: it is what may be wrong in the file.
        const patience = timeout ?? (wait ? (await gw.config())['drain_timeout'] : 0)
        const control = await daemon(gw)
        const asked: DrainAsked = { undo }
        const begun = performance.now()
        let said = await control.post<Drained>('/drain', asked)
        while (wait && said.in_flight > 0) {
          if (performance.now() - begun > patience)
            throw new Refusal(
              'partial',
              `${requests(said.in_flight)} still under way after ${formatDuration(patience)}; nobody new is let in until gw drain --undo`,
            )
          await sleep(LOOK_MS)
          const { in_flight, phase } = await control.get<StatusView>('/status')
          if (phase === 'ready') throw new Refusal('conflict', 'somebody let requests in again (gw drain --undo)')
          said = { ...said, in_flight }
        }
        const under = said.in_flight === 0 ? 'none is under way' : `${requests(said.in_flight)} under way`
        gw.out.print(said, undo ? 'new requests are let in again' : `no new request is let in; ${under}`)
      }),
    )
  examples(noun, ['gw drain --wait && gw stop --wait', 'gw drain --undo'])
}

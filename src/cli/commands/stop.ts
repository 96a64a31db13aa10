// gw stop: ends the running daemon, as SIGTERM does, from wherever its control socket can be reached.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import type { StopAsked, Stopping } from '../../control/view.ts'
import { Refusal } from '../../lib/refusal.ts'
import { roughly } from '../../lib/units.ts'
import type { Act } from '../command.ts'
import { examples } from '../declare.ts'
import { daemon, requests } from '../live.ts'
import { duration } from '../values.ts'

/** Beyond what the daemon says that it takes. */
const GRACE_MS = 5_000

export function define(noun: Command, act: Act): void {
  noun
    .description(
      'Ends the running daemon: it lets nobody new in, requests under way finish (drain_timeout), then it goes.',
    )
    .option('--wait', 'until it is gone')
    .option('--now', 'requests under way are ended with an error; it is gone within a second')
    .option(
      '--timeout <duration>',
      'with --wait: no longer than this; default: what the daemon may take',
      duration('--timeout'),
    )
    .addHelpText(
      'after',
      '\nExit code 4 when no daemon answers, 8 when it is still there after --timeout: it goes on ending.',
    )
    .action(
      act(async (gw, { wait = false, now = false, timeout }: { wait?: boolean; now?: boolean; timeout?: number }) => {
        if (timeout !== undefined && !wait) throw new Refusal('usage', '--timeout goes with --wait')
        const begun = performance.now()
        const control = await daemon(gw)
        const asked: StopAsked = { now }
        const { pid, in_flight, drain_ms, end_ms } = await control.post<Stopping>('/stop', asked)
        const stopping = { pid, in_flight, stopped: false }
        if (!wait) {
          const left = now ? '' : `, with ${roughly(drain_ms)} to finish`
          gw.out.print(stopping, `gw (process ${pid}) is stopping; ${requests(in_flight)} under way${left}`)
          return
        }
        const patience = timeout ?? drain_ms + end_ms + GRACE_MS
        const answers = () =>
          control.get('/ping').then(
            () => true,
            () => false,
          )
        // A process of another container is not to be seen: then its socket tells.
        while (isAlive(pid) || (await answers())) {
          if (performance.now() - begun > patience)
            throw new Refusal(
              'partial',
              `gw (process ${pid}) is still there after ${roughly(patience)}: it ends when the requests under way have; gw stop --now ends them`,
            )
          await sleep(50)
        }
        const ms = Math.round(performance.now() - begun)
        gw.out.print({ ...stopping, stopped: true, ms }, `gw (process ${pid}) has stopped, after ${ms} ms`)
      }),
    )
  examples(noun, ['gw stop --wait', 'gw stop --now --wait', 'gw drain --wait && gw stop --wait'])
}

/** Whether there is such a process; false, too, where it cannot be seen. */
function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

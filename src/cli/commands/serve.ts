// gw serve: runs the daemon in the foreground.
import type { Command } from 'commander'
import { Refusal } from '../../lib/refusal.ts'
import type { Act } from '../command.ts'
import { examples } from '../declare.ts'

export function define(noun: Command, act: Act): void {
  noun
    .description(
      'Runs the gateway in the foreground until SIGTERM, Ctrl-C or gw stop; requests in flight then finish. A second signal ends it within a second.',
    )
    .option('--demo', 'a scripted provider, a user and keys in a temporary data dir; Ctrl-C removes it all')
    .option('--no-traffic', 'no background traffic in the demo')
    .option('--listen <address>', 'where clients connect: host:port, [v6]:port or fd:N')
    .action(
      act(async (gw, options: { demo?: boolean; traffic: boolean; listen?: string }) => {
        const { demo = false, traffic, listen } = options
        if (!traffic && !demo)
          throw new Refusal('usage', '--no-traffic belongs to --demo; there is no traffic to leave out')
        const { loadConfig } = await import('../../config/load.ts')
        const how = gw.loadOptions({ listen })
        const source = { first: loadConfig(how), again: () => loadConfig(how) }
        const { runDaemon } = await import('../../daemon/main.ts')
        gw.ownSignals()
        const code = await runDaemon({ source, demo, traffic })
        // Whatever still stands somewhere: it is over.
        const { endProcess } = await import('../../daemon/signals.ts')
        return endProcess(code)
      }),
    )
  examples(noun, ['gw serve --demo', 'gw serve --listen 0.0.0.0:8080 --data-dir /srv/gw'])
}

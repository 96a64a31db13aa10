// The live stream, put together: pulses of processes, what is said of them, and the connections it is said on.
import type { Server } from 'node:http'
import type { AccountsAsked, AccountView, LiveView } from '../control/view.ts'
import type { Gateway } from '../gateway/gateway.ts'
import { foreignHost } from '../ops/host.ts'
import { createStream } from '../ops/stream.ts'
import type { Live } from './live.ts'
import { createPulses } from './pulse.ts'
import { accountRows, all, liveView, waitingBy } from './views/live.ts'
import { waitingNow } from './views/waiters.ts'
import { startWatching } from './watching.ts'

export interface LiveStream {
  /** `name` is what `ops.listen` is called by */
  attachOps(server: Server, name: string): void
  attachControl(server: Server): void
  /** all at once, for who asks only once */
  view(): Promise<LiveView>
  /** the accounts alone, or some of them */
  accounts(asked: AccountsAsked): Promise<AccountView[]>
  /** how many watch */
  size(): number
  /** Says goodbye to all who watch. To be closed before the servers. */
  close(): Promise<void>
}

export function startStream(
  gw: Gateway,
  live: Live,
  { processId, phase }: { processId: string; phase: () => string },
): LiveStream {
  const shared = gw.config['redis.url'] !== undefined
  const pulses = createPulses(live, gw.store, {
    processId,
    shared,
    waiting: () => waitingNow(gw),
    waitingBy: () => waitingBy(gw, live),
  })
  const watching = startWatching(gw, pulses, { phase, shared })
  const stream = createStream({
    source: watching.source,
    limits: () => ({
      connections: gw.config['ops.ws.connections'],
      perAddress: gw.config['ops.ws.connections_per_address'],
      origin: gw.config['ops.ws.origin'],
      trustedProxies: gw.config['trusted_proxies'],
      token: gw.config['ops.token'],
    }),
    log: line => gw.log.info(line),
  })
  return {
    attachOps(server, name) {
      const foreign = (host: string | undefined) => foreignHost(server.address(), name, host)
      stream.attach(server, { path: '/ops/ws', trusted: false, foreign })
    },
    attachControl: server => stream.attach(server, { path: '/ws', trusted: true }),
    view: async () => liveView(gw, await pulses.all()),
    accounts: async ({ names }) => all(accountRows(gw, await pulses.all(), names && new Set(names))),
    size: stream.size,
    async close() {
      watching.close()
      await stream.close()
    },
  }
}

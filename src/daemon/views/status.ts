// What `gw status` shows: which daemon this is, how it fares, and what works less well than it should.
import type { StatusView } from '../../control/view.ts'
import type { Gateway } from '../../gateway/gateway.ts'
import { version } from '../../lib/version.ts'
import type { Live } from '../live.ts'
import type { Reloads } from '../reload.ts'
import { waitingNow } from './waiters.ts'

/** What the view cannot see in the gateway itself. */
export type Standing = Pick<StatusView, 'phase' | 'listen' | 'ops_listen' | 'database' | 'nodes' | 'degraded'> & {
  /** Unix ms */
  startedAt: number
  reloads: ReturnType<Reloads['state']>
}

export function statusView(gw: Gateway, live: Live, { startedAt, reloads, ...standing }: Standing): StatusView {
  const { snapshot } = gw
  return {
    version,
    pid: process.pid,
    started_at: new Date(startedAt).toISOString(),
    uptime_ms: gw.now() - startedAt,
    phase: standing.phase,
    listen: standing.listen,
    ops_listen: standing.ops_listen,
    database: standing.database,
    in_flight: live.inFlight(),
    waiting: waitingNow(gw),
    accounts: snapshot.accounts.size,
    users: snapshot.users.size,
    keys: [...snapshot.keys()].filter(key => !key.revoked).length,
    nodes: standing.nodes,
    config_file: reloads.file ?? null,
    config_read_at: new Date(reloads.readAt).toISOString(),
    needs_restart: reloads.restart,
    degraded: standing.degraded,
  }
}

// Who waits for a place, as `gw queue list` shows them.
import type { WaiterView } from '../../control/view.ts'
import type { Gateway } from '../../gateway/gateway.ts'
import type { Live } from '../live.ts'

/** Requests that wait for a place of any kind. */
export function waitingNow(gw: Gateway): number {
  return gw.accountQueue.length + gw.places.total()
}

/** Who waits in this process, longest first. */
export function waiters(gw: Gateway, live: Live): WaiterView[] {
  return live
    .under()
    .filter(o => o.waitingSince !== 0)
    .sort((a, b) => a.waitingSince - b.waitingSince || a.at - b.at)
    .map(o => ({
      request_id: o.id,
      for: o.phase === 'queueing' ? 'account' : 'user',
      user: o.user,
      key: o.key,
      group: o.group,
      model: o.model,
      stream: o.stream,
      waited_ms: gw.now() - o.waitingSince,
    }))
}

// The places held, as `gw slots list` shows them.
import type { SlotView } from '../../control/view.ts'
import { accountSlot, keySlot, userSlot } from '../../gateway/admit/places.ts'
import type { Gateway } from '../../gateway/gateway.ts'
import type { Live } from '../live.ts'

/** Every place held, by any process, with the request that holds it where it is ours. */
export async function slotViews(gw: Gateway, live: Live): Promise<SlotView[]> {
  const { users, accounts } = gw.snapshot
  const names = new Map<string, Pick<SlotView, 'kind' | 'name'>>([
    ...[...users.values()].map(u => [userSlot(u.id), { kind: 'user', name: u.name }] as const),
    ...[...accounts.values()].map(a => [accountSlot(a.id), { kind: 'account', name: a.name }] as const),
    ...[...gw.snapshot.keys()]
      .filter(k => !k.revoked && k.concurrency !== null)
      .map(k => [keySlot(k.id), { kind: 'key', name: k.name }] as const),
  ])
  const holders = await gw.store.holders([...names.keys()])
  const under = new Map(live.under().map(o => [o.id, o]))
  return holders.map(({ key, holder, leftMs }) => {
    const [owner = '', request = ''] = holder.split(':')
    const outcome = under.get(request)
    return {
      ...names.get(key)!,
      process: owner,
      request_id: request,
      left_ms: leftMs,
      model: outcome?.model ?? null,
      phase: outcome?.phase ?? null,
      age_ms: outcome ? gw.now() - outcome.at : null,
    }
  })
}

// Composes what operators see of the running process: the live view, slots, waiters, bindings.
import os from 'node:os'
import type { AccountView, BindingView, LiveView, SlotView, WaiterView } from '../control/view.ts'
import type { AccountFacts } from '../core/snapshot.ts'
import { accountSlot, keySlot, poolOfGroup, userSlot } from '../gateway/admit/places.ts'
import type { Gateway } from '../gateway/gateway.ts'
import { accountState } from '../platform/state.ts'
import type { Live } from './live.ts'

export async function liveView(gw: Gateway, live: Live): Promise<LiveView> {
  const users = [...gw.snapshot.users.values()]
  const accounts = [...gw.snapshot.accounts.values()]
  const [usedByUser, usedByAccount] = await Promise.all([
    gw.store.held(users.map(u => userSlot(u.id))),
    gw.store.held(accounts.map(a => accountSlot(a.id))),
  ])
  const views = new Map(accounts.map((a, i) => [a.id, accountView(gw, a, usedByAccount[i]!)]))
  const waitingByUser = Map.groupBy(waiters(gw, live), w => w.user)
  return {
    at: new Date(gw.now()).toISOString(),
    ...live.rates(),
    in_flight: live.inFlight(),
    waiting: waitingNow(gw),
    users: users.map((u, i) => ({
      name: u.name,
      slots: { used: usedByUser[i]!, limit: Math.max(0, u.concurrency) },
      waiting: waitingByUser.get(u.name)?.length ?? 0,
    })),
    accounts: [...views.values()],
    groups: [...gw.snapshot.groups.values()].map(g => {
      const members = g.accounts.map(a => views.get(a.id)!)
      const limits = members.map(m => m.slots.limit)
      return {
        name: g.name,
        platform: g.platform,
        slots: {
          used: members.reduce((sum, m) => sum + m.slots.used, 0),
          limit: limits.includes(0) ? 0 : limits.reduce((sum, limit) => sum + limit, 0),
        },
        waiting: gw.waitingAtPool.get(poolOfGroup(g.id)) ?? 0,
        available: members.filter(m => m.state === 'available').length,
        accounts: members.length,
      }
    }),
    nodes: [
      {
        name: os.hostname(),
        pid: process.pid,
        uptime_s: Math.round(process.uptime()),
        in_flight: live.inFlight(),
        rss_bytes: process.memoryUsage.rss(),
      },
    ],
  }
}

/** Requests that wait for a place of any kind. */
export function waitingNow(gw: Gateway): number {
  return gw.accountQueue.length + gw.places.total()
}

function accountView(gw: Gateway, account: AccountFacts, used: number): AccountView {
  return {
    name: account.name,
    platform: account.platform,
    groups: account.groups,
    slots: { used, limit: Math.max(0, account.concurrency) },
    waiting: gw.accountQueue.wanting(accountSlot(account.id)),
    ...stateOf(gw, account, used),
  }
}

function stateOf(gw: Gateway, account: AccountFacts, used: number): Pick<AccountView, 'state' | 'until' | 'reason'> {
  const { state, until, reason } = accountState(account, gw.health.ailments(account.id), gw.now())
  const full = state === 'available' && account.concurrency > 0 && used >= account.concurrency
  return { state: full ? 'full' : state, until: until === null ? null : new Date(until).toISOString(), reason }
}

/** Every place held, by any process, with the request that holds it where it is ours. */
export async function slotViews(gw: Gateway, live: Live): Promise<SlotView[]> {
  const { users, accounts, keys } = gw.snapshot
  const names = new Map<string, Pick<SlotView, 'kind' | 'name'>>([
    ...[...users.values()].map(u => [userSlot(u.id), { kind: 'user', name: u.name }] as const),
    ...[...accounts.values()].map(a => [accountSlot(a.id), { kind: 'account', name: a.name }] as const),
    ...[...keys.values()]
      .filter(k => !k.revoked && k.concurrency !== null)
      .map(k => [keySlot(k.id), { kind: 'key', name: k.name }] as const),
  ])
  const holders = await gw.store.holders([...names.keys()])
  return holders.map(({ key, holder, leftMs }) => {
    const [owner = '', request = ''] = holder.split(':')
    const outcome = live.under().get(request)
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

/** Who waits in this process, longest first. */
export function waiters(gw: Gateway, live: Live): WaiterView[] {
  return [...live.under().values()]
    .filter(o => o.waitingSince !== 0)
    .sort((a, b) => a.waitingSince - b.waitingSince)
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

export function bindingViews(gw: Gateway): BindingView[] {
  const oldest = gw.now() - gw.config['sticky.ttl']
  return [...gw.bindings.values()]
    .filter(b => b.at > oldest)
    .sort((a, b) => b.at - a.at)
    .map(b => ({
      session: b.session,
      model: b.model,
      key: b.key,
      group: b.group,
      account: gw.snapshot.accounts.get(b.account)?.name ?? `#${b.account}`,
      at: new Date(b.at).toISOString(),
    }))
}

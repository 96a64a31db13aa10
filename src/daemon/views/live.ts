// The live view, as `gw top` shows it: rates, users, accounts, groups and this process.
import os from 'node:os'
import { setImmediate } from 'node:timers/promises'
import type { AccountView, LiveView } from '../../control/view.ts'
import type { AccountFacts } from '../../core/snapshot.ts'
import { accountSlot, poolOfGroup, userSlot } from '../../gateway/admit/places.ts'
import type { Gateway } from '../../gateway/gateway.ts'
import { accountState } from '../../platform/state.ts'
import type { Live } from '../live.ts'
import { waiters, waitingNow } from './waiters.ts'

/** With many accounts and many who wait this is long work: so much of it at a time, ms, then streams may go on. */
const SLICE_MS = 5

export async function liveView(gw: Gateway, live: Live): Promise<LiveView> {
  const { snapshot } = gw
  const users = [...snapshot.users.values()]
  const accounts = [...snapshot.accounts.values()]
  const [usedByUser, usedByAccount] = await Promise.all([
    gw.store.held(users.map(u => userSlot(u.id))),
    gw.store.held(accounts.map(a => accountSlot(a.id))),
  ])
  const views = new Map<number, AccountView>()
  let since = performance.now()
  for (const [i, a] of accounts.entries()) {
    views.set(a.id, accountView(gw, a, snapshot.groupsOf(a.id), usedByAccount[i]!))
    if (performance.now() - since < SLICE_MS) continue
    await setImmediate()
    since = performance.now()
  }
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
    groups: [...snapshot.groups.values()].map(g => {
      const members = snapshot.pool(g.id).map(a => views.get(a.id)!)
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

function accountView(gw: Gateway, account: AccountFacts, groups: readonly string[], used: number): AccountView {
  return {
    name: account.name,
    platform: account.platform,
    groups,
    slots: { used, limit: Math.max(0, account.concurrency) },
    waiting: gw.accountQueue.wanting(accountSlot(account.id)),
    ...stateOf(gw, account, used),
  }
}

function stateOf(gw: Gateway, account: AccountFacts, used: number): Pick<AccountView, 'state' | 'until' | 'reason'> {
  const told = accountState(account, gw.health.ailments(account.id), gw.now())
  const way = told.state === 'available' ? gw.egress.veto(account.proxy, gw.now()) : undefined
  const { state, until, reason } = way
    ? { state: 'ejected' as const, until: way.until, reason: way.reason.replace(/^proxy out: /, '') }
    : told
  const full = state === 'available' && account.concurrency > 0 && used >= account.concurrency
  return { state: full ? 'full' : state, until: until === null ? null : new Date(until).toISOString(), reason }
}

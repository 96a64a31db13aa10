// Accounts as `gw account` shows them: the record, and what the running daemon knows of each.
import type { AccountState, AccountView, LiveView } from '../control/view.ts'
import type { Account } from '../core/account.ts'
import { Refusal } from '../lib/refusal.ts'
import type { Invocation } from './invocation.ts'

export type ShownAccount = Omit<Account, 'intercept_warmup'> & {
  state: AccountState
  /** ISO 8601, when `state` ends by itself */
  until: string | null
  /** only while the daemon runs */
  slots?: { used: number; limit: number; waiting: number }
}

/** The record with the state that the database alone tells. */
export function shown(account: Account, now = Date.now()): ShownAccount {
  const { intercept_warmup: _, ...record } = account
  const expired = account.expires_at !== null && account.expires_at.getTime() <= now
  const state = account.status === 'active' ? (expired ? 'expired' : 'available') : account.status
  return { ...record, state, until: null }
}

/** The same, with live facts when the daemon is up. */
export async function shownLive(gw: Invocation, accounts: readonly Account[]): Promise<ShownAccount[]> {
  const live = new Map((await liveAccounts(gw)).map(facts => [facts.name, facts]))
  return accounts.map(account => {
    const own = shown(account)
    const facts = live.get(account.name)
    if (facts === undefined) return own
    const slots = { ...facts.slots, waiting: facts.waiting }
    // What the record says holds already, while the daemon may be a moment behind.
    if (own.state !== 'available') return { ...own, slots }
    return { ...own, state: facts.state, until: facts.until, reason: facts.reason ?? own.reason, slots }
  })
}

async function liveAccounts(gw: Invocation): Promise<AccountView[]> {
  const { controlClient } = await import('../control/client.ts')
  try {
    return (await controlClient((await gw.config())['control.socket']).get<LiveView>('/live')).accounts
  } catch (error) {
    // Everything but these facts works without a daemon.
    if (error instanceof Refusal && error.kind === 'unreachable') return []
    throw error
  }
}

/** A line of `gw account list`. */
export function row(account: ShownAccount): object {
  const { id, name, platform, type, groups, priority, concurrency, state, reason, slots } = account
  const used = slots ? `${slots.used}/${slots.limit || '∞'}` : `-/${concurrency || '∞'}`
  const until = account.until === null ? null : new Date(account.until)
  return { id, name, state, platform, type, groups, slots: used, waiting: slots?.waiting, priority, until, reason }
}

/** All of one account, for people. */
export function details(account: ShownAccount): object {
  const { slots, until, created_at, expires_at, ...fields } = account
  const live = slots ? { slots: `${slots.used} of ${slots.limit || '∞'}`, waiting: slots.waiting } : {}
  const ends = until === null ? {} : { until: new Date(until) }
  return { ...fields, ...ends, ...live, expires: expires_at, created: created_at }
}

// Accounts as `gw account` shows them: the record, its state, and what the running daemon knows of each.
import type { AccountState, AccountView } from '../control/view.ts'
import type { Account } from '../core/record/account.ts'
import type { AccountColumn, AccountFilter, StatesOf } from '../core/record/lists.ts'
import type { Db } from '../db/connect.ts'
import { Refusal } from '../lib/refusal.ts'
import type { Held } from '../platform/state.ts'
import type { Invocation } from './command.ts'
import { type Fields, type Listing, meant, printList, type Which } from './listing.ts'

export type ShownAccount = Account & {
  state: AccountState
  /** ISO 8601, when `state` ends by itself */
  until: string | null
  /** null while no daemon runs */
  slots: { used: number; limit: number; waiting: number } | null
}

// A daemon that is asked for its live facts on the side has no longer than this.
const PATIENCE_MS = 1_000

/** The records with the state that the database tells. */
export async function stored(db: Db, accounts: readonly Account[], now = Date.now()): Promise<ShownAccount[]> {
  const [{ listHealth }, { accountState }] = await Promise.all([
    import('../core/record/health.ts'),
    import('../platform/state.ts'),
  ])
  const ids = accounts.map(account => account.id)
  const rows = Map.groupBy(await listHealth(db, new Date(now), ids), row => row.account_id)
  return accounts.map(account => {
    const held = (rows.get(account.id) ?? []).map(({ model, reason, until, ...row }) => {
      return { model, class: row.class as Held['class'], reason, until: until.getTime() }
    })
    const expiresAt = account.expires_at?.getTime() ?? 0
    const { state, until, reason } = accountState({ ...account, expiresAt }, held, now)
    return { ...account, state, until: iso(until), reason: reason ?? account.reason, slots: null }
  })
}

/** One of them. */
export async function storedOne(db: Db, account: Account): Promise<ShownAccount> {
  return (await stored(db, [account]))[0]!
}

/** The same, with live facts when the daemon is up; `live` are they, where they were asked for already. */
export async function shownLive(
  gw: Invocation,
  db: Db,
  accounts: readonly Account[],
  live?: readonly AccountView[],
): Promise<ShownAccount[]> {
  const names = accounts.map(account => account.name)
  const [facts, own] = await Promise.all([live ?? liveAccounts(gw, names), stored(db, accounts)])
  const byName = new Map(facts?.map(fact => [fact.name, fact]))
  return own.map(account => {
    const facts = byName.get(account.name)
    if (facts === undefined) return account
    const slots = { ...facts.slots, waiting: facts.waiting }
    // What the record says holds already, while the daemon may be a moment behind; of upstreams it knows more.
    if (account.status !== 'active' || account.state === 'expired') return { ...account, slots }
    return { ...account, state: facts.state, until: facts.until, reason: facts.reason, slots }
  })
}

/** What the running daemon knows of the accounts with these names, or of all; undefined when none answers. */
export async function liveAccounts(gw: Invocation, names?: readonly string[]): Promise<AccountView[] | undefined> {
  const { controlClient } = await import('../control/client.ts')
  const client = controlClient((await gw.config())['control.socket'], AbortSignal.timeout(PATIENCE_MS))
  try {
    return await client.post<AccountView[]>('/accounts', names ? { names } : {})
  } catch (error) {
    // Everything but these facts works without a daemon, and beside one of another version.
    if (error instanceof Refusal) return undefined
    throw error
  }
}

/** The accounts that are meant. @throws Refusal `missing` */
export async function accountsMeant(gw: Invocation, db: Db, which: Which): Promise<Account[]> {
  const [{ findAccount }, { accountList }] = await Promise.all([
    import('../core/record/account.ts'),
    import('../core/record/lists.ts'),
  ])
  return meant(
    which,
    ref => findAccount(db, ref),
    async filter => accountList(db, (await statesOf(gw, 'state' in filter)).states, filter as AccountFilter),
  )
}

/** Lists accounts; the daemon is asked about all of them only where their states decide what is shown. */
export async function listAccounts(
  gw: Invocation,
  options: AccountFilter & Listing<AccountColumn>,
  { fields, less }: { fields: Fields; less: readonly string[] },
): Promise<void> {
  const { accountList } = await import('../core/record/lists.ts')
  const decides = options.state !== undefined || (options.sort ?? []).some(({ column }) => column === 'state')
  const { states, live } = await statesOf(gw, decides)
  if (decides && !live && options.state?.includes('full'))
    gw.out.note('which accounts are full only a running daemon knows, and none answers')
  const db = await gw.db()
  await printList(gw, options, {
    noun: 'account',
    query: db => accountList(db, states, options, options.sort),
    shown: accounts => shownLive(gw, db, accounts, live),
    view: row,
    empty: 'no accounts yet; gw account add NAME makes one',
    less,
    fields,
  })
}

async function statesOf(
  gw: Invocation,
  asked: boolean,
): Promise<{ states: StatesOf; live: AccountView[] | undefined }> {
  const [{ byClass }, live] = await Promise.all([import('../platform/state.ts'), asked ? liveAccounts(gw) : undefined])
  const known = live && new Map(live.map(({ name, state }) => [name, state]))
  return { states: { byClass, live: known, now: new Date() }, live }
}

const iso = (at: number | null) => (at === null ? null : new Date(at).toISOString())

/** A line of `gw account list`. */
export function row(account: ShownAccount): object {
  const { id, name, platform, dialect, type, groups, proxy, priority, concurrency, state, reason, slots } = account
  const used = slots ? `${slots.used}/${slots.limit || '∞'}` : `-/${concurrency || '∞'}`
  const until = account.until === null ? null : new Date(account.until)
  return {
    id,
    name,
    state,
    platform,
    dialect,
    type,
    groups,
    slots: used,
    waiting: slots?.waiting,
    priority,
    until,
    token: endOf(account),
    proxy,
    reason,
  }
}

/** When its token ends; the epoch stands for one that it has not got yet. */
const endOf = ({ token_expires_at: at }: ShownAccount) => (at?.getTime() === 0 ? 'none yet' : at)

/** All of one account, for people. */
export function details(account: ShownAccount): object {
  const {
    slots,
    until,
    created_at,
    expires_at,
    plan,
    token_expires_at: _,
    token_refreshed_at,
    token_problem,
    ...fields
  } = account
  const live = slots ? { slots: `${slots.used} of ${slots.limit || '∞'}`, waiting: slots.waiting } : {}
  const ends = until === null ? {} : { until: new Date(until) }
  const token =
    fields.type === 'oauth'
      ? { plan, token_expires: endOf(account), token_refreshed: token_refreshed_at, token_problem }
      : {}
  return { ...fields, ...ends, ...live, ...token, expires: expires_at, created: created_at }
}

// What operators take back while the daemon runs: places held, and the accounts of sessions.
import type { BindingsToClear, Cleared, SlotsToClear } from '../control/view.ts'
import { pick } from '../core/record/named.ts'
import { accountSlot, keySlot, userSlot } from '../gateway/admit/places.ts'
import { forgetBindings } from '../gateway/choose/sticky.ts'
import type { Gateway } from '../gateway/gateway.ts'
import { Refusal } from '../lib/refusal.ts'

/**
 * Takes places away from whoever holds them. A request that is under way goes on and takes its place again if it is
 * still free. @throws Refusal `missing`, `usage`
 */
export async function clearSlots(gw: Gateway, what: SlotsToClear): Promise<Cleared> {
  const held = await gw.store.holders(slotsOf(gw, what))
  if (!what.dry_run) await gw.store.release(held.map(({ key, holder }) => ({ key, holder })))
  return { cleared: held.length }
}

function slotsOf(gw: Gateway, { kind, name }: SlotsToClear): string[] {
  const users = [...gw.snapshot.users.values()]
  const accounts = [...gw.snapshot.accounts.values()]
  // A revoked key may share its name with a new one, and what it began is still under way.
  const all = [...gw.snapshot.keys()]
  const keys = /^\d+$/.test(name ?? '') ? all : all.filter(k => !k.revoked)
  if (kind === undefined)
    return [
      ...users.map(u => userSlot(u.id)),
      ...accounts.map(a => accountSlot(a.id)),
      ...all.filter(k => k.concurrency !== null).map(k => keySlot(k.id)),
    ]
  if (name === undefined) throw new Refusal('usage', `which ${kind}? name it`)
  switch (kind) {
    case 'user':
      return [userSlot(pick(kind, users, name).id)]
    case 'account':
      return [accountSlot(pick(kind, accounts, name).id)]
    case 'key':
      return [keySlot(pick(kind, keys, name).id)]
    default:
      throw new Refusal('usage', `places are held by a user, an account or a key, not by "${String(kind)}"`)
  }
}

/** Lets the sessions of a group, or all, choose their accounts anew. @throws Refusal `missing` */
export async function clearBindings(gw: Gateway, what: BindingsToClear): Promise<Cleared> {
  const groups = [...gw.snapshot.groups.values()]
  // 0: keys without a group.
  const ids = what.group === undefined ? [0, ...groups.map(g => g.id)] : [pick('group', groups, what.group).id]
  const oldest = gw.now() - gw.config['sticky.ttl']
  const known = [...gw.bindings].filter(([key, b]) => b.at > oldest && ids.some(id => key.startsWith(`sticky:${id}:`)))
  if (!what.dry_run) for (const id of ids) await forgetBindings(gw, id)
  return { cleared: known.length }
}

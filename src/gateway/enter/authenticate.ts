// Authenticate: the presented key to who pays and which accounts may serve, from the snapshot alone.
import type { IncomingMessage } from 'node:http'
import type { AccountFacts, GroupFacts, KeyFacts, UserFacts } from '../../core/snapshot.ts'
import { digestKey } from '../../core/snapshot.ts'
import type { Platform } from '../../db/schema.ts'
import { Failure } from '../../lib/failure.ts'
import type { Secret } from '../../lib/secret.ts'
import type { Gateway } from '../gateway.ts'
import { presented } from './presented.ts'
import { generating, type Route } from './routes.ts'

export interface Caller {
  key: KeyFacts
  /** by which the snapshot knows the key, and the one that it was found in */
  digest: string
  foundIn: Gateway['snapshot']
  user: UserFacts
  group: GroupFacts | null
  /** whose accounts serve it: of its group, of a key without one, or by the route's own word */
  platform: Platform
}

/** The accounts that may serve a caller now: while it waits, accounts come and go. */
export function accountsOf(gw: Gateway, { group, platform }: Caller): readonly AccountFacts[] {
  if (!group) return gw.snapshot.ungrouped(platform)
  return group.platform === platform ? gw.snapshot.pool(group.id) : gw.snapshot.poolOf(group.id, platform)
}

/**
 * `ip` is the client's address.
 * @throws Failure API_KEY_REQUIRED, INVALID_API_KEY, KEYS_DIFFER, TOO_MANY_BAD_KEYS, API_KEY_DISABLED, API_KEY_EXPIRED,
 * USER_INACTIVE, ACCESS_DENIED, GROUP_EXCLUSIVE, WRONG_PLATFORM
 */
export function authenticate(gw: Gateway, req: IncomingMessage, ip: string, route: Route): Caller {
  const { key, digest } = keyOf(gw, presented(req), ip)
  if (key.revoked) throw new Failure('API_KEY_DISABLED')
  if (key.expiresAt !== 0 && key.expiresAt <= gw.now()) throw new Failure('API_KEY_EXPIRED')
  if (!key.user.active) throw new Failure('USER_INACTIVE')
  if (!key.allows(ip)) throw new Failure('ACCESS_DENIED')
  const { group } = key
  if (group?.exclusive && group.billing === 'balance' && !group.allowed.includes(key.user.id))
    throw new Failure('GROUP_EXCLUSIVE', [group.name, group.name, key.user.name])
  const platform = route.force ?? group?.platform ?? 'anthropic'
  if (route.platforms && !route.platforms.includes(platform))
    throw new Failure('WRONG_PLATFORM', [platform, `${route.method} ${route.path}`, generating])
  return { key, digest, foundIn: gw.snapshot, user: key.user, group, platform }
}

/** The caller's key as it is by now; one that is gone meanwhile as it was, since its next request is refused. */
export function keyNow(gw: Gateway, { key, digest, foundIn }: Caller): KeyFacts {
  return gw.snapshot === foundIn ? key : (gw.snapshot.key(digest) ?? key)
}

// Each that is not known costs a digest; nobody has a reason to bring more.
const MOST_PRESENTED = 8

/** A key of ours, and the digest by which the snapshot knows it. */
type Found = Pick<Caller, 'key' | 'digest'>

// The one of ours. What else is presented is a leftover of the client's environment, and goes nowhere.
function keyOf(gw: Gateway, values: readonly string[], ip: string): Found {
  if (values.length === 0) throw new Failure('API_KEY_REQUIRED')
  if (values.length > MOST_PRESENTED) throw new Failure('KEYS_DIFFER')
  const limit = gw.config['limits.bad_keys']
  let ours: Found | undefined
  for (const value of values) {
    const found = known(gw, value) ?? (gw.brake.restMs(ip, limit) > 0 ? undefined : lookUp(gw, value))
    if (!found) continue
    if (ours && ours.key.id !== found.key.id) throw new Failure('KEYS_DIFFER')
    ours = found
  }
  if (ours) return ours
  const restMs = gw.brake.restMs(ip, limit)
  if (restMs > 0) throw new Failure('TOO_MANY_BAD_KEYS', [limit], { retryAfterMs: restMs })
  gw.brake.bad(ip)
  throw new Failure('INVALID_API_KEY')
}

// A digest costs as much as a tenth of a request, and a value's is always the same. Only those of known keys are remembered,
// so strangers cannot make this grow.
const remembered = new WeakMap<Secret, Map<string, string>>()

function known(gw: Gateway, value: string): Found | undefined {
  const digest = remembered.get(gw.secret)?.get(value)
  const key = digest === undefined ? undefined : gw.snapshot.key(digest)
  return key && { key, digest: digest! }
}

// Longer than any key of ours.
const LONGEST = 512

function lookUp(gw: Gateway, value: string): Found | undefined {
  if (value.length > LONGEST) return undefined
  const digest = digestKey(gw.secret.digest(value))
  const key = gw.snapshot.key(digest)
  if (!key) return undefined
  let of = remembered.get(gw.secret)
  if (!of) remembered.set(gw.secret, (of = new Map()))
  of.set(value, digest)
  return { key, digest }
}

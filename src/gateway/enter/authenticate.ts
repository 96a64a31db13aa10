// Authenticate: the presented key to who pays and which accounts may serve, from the snapshot alone.
import type { IncomingMessage } from 'node:http'
import type { AccountFacts, GroupFacts, KeyFacts, UserFacts } from '../../core/snapshot.ts'
import { digestKey } from '../../core/snapshot.ts'
import type { Platform } from '../../db/schema.ts'
import { Failure } from '../../lib/failure.ts'
import type { Secret } from '../../lib/secret.ts'
import type { Gateway } from '../gateway.ts'
import { type Route, routeOf } from './routes.ts'

export interface Caller {
  key: KeyFacts
  user: UserFacts
  group: GroupFacts | null
  platform: Platform
}

/** The accounts that may serve a caller now: while it waits, accounts come and go. */
export function accountsOf(gw: Gateway, { group, platform }: Caller): readonly AccountFacts[] {
  return group ? gw.snapshot.pool(group.id) : gw.snapshot.ungrouped(platform)
}

/** @throws Failure API_KEY_REQUIRED, INVALID_API_KEY, API_KEY_DISABLED, API_KEY_EXPIRED, USER_INACTIVE, ACCESS_DENIED, WRONG_PLATFORM */
export function authenticate(gw: Gateway, req: IncomingMessage, route: Route): Caller {
  const value = presentedKey(req)
  if (value === undefined) throw new Failure('API_KEY_REQUIRED')
  const key = lookUp(gw, value)
  if (!key) throw new Failure('INVALID_API_KEY')
  if (key.revoked) throw new Failure('API_KEY_DISABLED')
  if (key.expiresAt !== 0 && key.expiresAt <= gw.now()) throw new Failure('API_KEY_EXPIRED')
  if (!key.user.active) throw new Failure('USER_INACTIVE')
  if (!key.allows(req.socket.remoteAddress ?? '')) throw new Failure('ACCESS_DENIED')
  const { group } = key
  const platform = group?.platform ?? 'anthropic'
  if (route.platforms.length > 0 && !route.platforms.includes(platform))
    throw new Failure('WRONG_PLATFORM', [platform, routeOf[platform]])
  return { key, user: key.user, group, platform }
}

// A digest costs as much as a tenth of a request, and a value's is always the same. Only those of known keys are remembered,
// so strangers cannot make this grow.
const remembered = new WeakMap<Secret, Map<string, string>>()

function lookUp(gw: Gateway, value: string): KeyFacts | undefined {
  let known = remembered.get(gw.secret)
  if (!known) remembered.set(gw.secret, (known = new Map()))
  const digest = known.get(value)
  if (digest !== undefined) return gw.snapshot.key(digest)
  const fresh = digestKey(gw.secret.digest(value))
  const key = gw.snapshot.key(fresh)
  if (key) known.set(value, fresh)
  return key
}

/** The first non-empty of the places where clients put keys (spec/domain.md §2.2). */
export function presentedKey(req: IncomingMessage): string | undefined {
  const { headers } = req
  const bearer = /^bearer +(.+)$/i.exec(headers.authorization ?? '')?.[1]?.trim()
  const header = bearer || text(headers['x-api-key']) || text(headers['x-goog-api-key'])
  if (header) return header
  const mark = req.url?.indexOf('?') ?? -1
  if (mark === -1) return undefined
  const query = new URLSearchParams(req.url!.slice(mark + 1))
  return query.get('key') || query.get('api_key') || undefined
}

function text(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value.trim() : value?.[0]?.trim()
}

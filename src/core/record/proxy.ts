// Egress proxies: ways out, through which accounts reach their upstreams. The URL is kept encrypted, since it may hold a password.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import { parseProxyUrl, shownUrl, type Through } from '../../egress/through.ts'
import { Refusal } from '../../lib/refusal.ts'
import type { Secret } from '../../lib/secret.ts'
import { Credential } from '../credential.ts'
import { checkName, found, isNamed, unique } from './named.ts'

export interface EgressProxy {
  id: number
  name: string
  /** without user and password; null when it cannot be decrypted */
  url: string | null
  /** it has a user and password */
  login: boolean
  /** the accounts that go through it, by name */
  accounts: string[]
  created_at: Date
}

export interface ProxyChange {
  name?: string
  /** whole, with its user and password; stored encrypted */
  url?: string
}

export async function listProxies(db: Db, secret: Secret): Promise<EgressProxy[]> {
  return (await select(db).orderBy('id').execute()).map(row => shown(row, secret))
}

/** @throws Refusal `missing` */
export async function findProxy(db: Db, secret: Secret, ref: string): Promise<EgressProxy> {
  return shown(await findRow(db, ref), secret)
}

/** @throws Refusal `conflict` when the name is taken, `usage` for a URL that is none of a proxy */
export async function addProxy(db: Db, secret: Secret, proxy: { name: string; url: string }): Promise<EgressProxy> {
  checkProxyName(proxy.name)
  const row = { name: proxy.name, url: secret.encrypt(checkUrl(proxy.url)) }
  const { id } = await unique(
    'proxy',
    proxy.name,
    db.insertInto('proxies').values(row).returning('id').executeTakeFirstOrThrow(),
  )
  return byId(db, secret, id)
}

export async function setProxy(db: Db, secret: Secret, ref: string, change: ProxyChange): Promise<EgressProxy> {
  const { id } = await findProxy(db, secret, ref)
  const { name, url } = change
  if (name !== undefined) checkProxyName(name)
  const row = {
    ...(name === undefined ? {} : { name }),
    ...(url === undefined ? {} : { url: secret.encrypt(checkUrl(url)) }),
    updated_at: new Date(),
  }
  await unique('proxy', name ?? ref, db.updateTable('proxies').set(row).where('id', '=', id).execute())
  return byId(db, secret, id)
}

/** @throws Refusal `conflict` while accounts go through it: without it they would show another address */
export async function removeProxy(db: Db, secret: Secret, ref: string): Promise<EgressProxy> {
  const proxy = await findProxy(db, secret, ref)
  const { accounts, name } = proxy
  if (accounts.length > 0)
    throw new Refusal(
      'conflict',
      `proxy "${name}" is the way of ${accounts.slice(0, 5).join(', ')}${accounts.length > 5 ? ' and others' : ''}; give them another first: gw account set ${accounts[0]} --proxy NAME, or none`,
    )
  const now = new Date()
  await db
    .updateTable('proxies')
    .set({ deleted_at: now, updated_at: now, url: Buffer.alloc(0) })
    .where('id', '=', proxy.id)
    .execute()
  return proxy
}

/** The id of the proxy with this name or number. @throws Refusal `missing` */
export async function proxyId(db: Db, ref: string): Promise<number> {
  return (await findRow(db, ref)).id
}

/** A proxy as connections are made through it. @throws Refusal when its URL cannot be decrypted, Error when it is none */
export function openProxy(secret: Secret, { id, name, url }: { id: number; name: string; url: Uint8Array }): Through {
  const parsed = parseProxyUrl(secret.decrypt(url))
  if (typeof parsed === 'string') throw new Error(`its URL ${parsed}`)
  const { login, ...way } = parsed
  return { id, name, ...way, login: login === '' ? null : new Credential(login) }
}

/** One that is stored. @throws Refusal `missing` */
export async function loadProxy(db: Db, secret: Secret, ref: string): Promise<Through> {
  return openProxy(secret, await findRow(db, ref))
}

function checkProxyName(name: string): void {
  if (checkName('proxy', name) === 'none')
    throw new Refusal('usage', 'proxy name "none" is not allowed: --proxy none means no proxy')
}

function checkUrl(url: string): string {
  const parsed = parseProxyUrl(url)
  if (typeof parsed !== 'string') return url.trim()
  throw new Refusal('usage', `the proxy's URL ${parsed}; for example http://10.0.0.1:3128 or socks5://host:1080`)
}

async function findRow(db: Db, ref: string): Promise<Row> {
  return found(db, 'proxy', ref, await select(db).where(isNamed('proxies', ref)).executeTakeFirst())
}

async function byId(db: Db, secret: Secret, id: number): Promise<EgressProxy> {
  return shown(await select(db).where('id', '=', id).executeTakeFirstOrThrow(), secret)
}

type Row = Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirstOrThrow']>>

function shown({ id, name, url, accounts, created_at }: Row, secret: Secret): EgressProxy {
  let parsed: ReturnType<typeof parseProxyUrl> = ''
  try {
    parsed = parseProxyUrl(secret.decrypt(url))
  } catch {
    // Of another installation's secret; its other fields are still worth a line.
  }
  const known = typeof parsed === 'string' ? undefined : parsed
  return {
    id,
    name,
    url: known ? shownUrl(known) : null,
    login: known !== undefined && known.login !== '',
    accounts,
    created_at,
  }
}

function select(db: Db) {
  return db
    .selectFrom('proxies')
    .select(['id', 'name', 'url', 'created_at'])
    .select(
      sql<
        string[]
      >`array(select a.name from accounts a where a.proxy_id = proxies.id and a.deleted_at is null order by a.name)`.as(
        'accounts',
      ),
    )
    .where('deleted_at', 'is', null)
}

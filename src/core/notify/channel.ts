// Alert channels: where alerts are told. URLs and what signs are kept encrypted, since whoever has them can speak there.
import { sql } from 'kysely'
import type { Db } from '../../db/connect.ts'
import type { ChannelType, Severity } from '../../db/schema-watch.ts'
import { readUrl, type UrlRules } from '../../lib/guard/url.ts'
import { Refusal } from '../../lib/refusal.ts'
import type { Secret } from '../../lib/secret.ts'
import { checkName, pick, unique } from '../record/named.ts'
import type { OpenChannel } from './send.ts'

export const channelTypes: readonly ChannelType[] = [
  'webhook',
  'email',
  'slack',
  'telegram',
  'feishu',
  'dingtalk',
  'wecom',
]

export interface Channel {
  id: number
  name: string
  type: ChannelType
  /** its origin only: the rest is a secret. null: it has none, or it cannot be decrypted */
  url: string | null
  /** of email; of telegram the chat */
  recipients: string[]
  /** it has a secret: what signs, or of telegram the bot's token */
  secret: boolean
  min_severity: Severity
  enabled: boolean
  /** when it last took a message */
  sent_at: Date | null
  /** why it did not take the last one; null: it did */
  problem: string | null
  created_at: Date
}

export interface ChannelChange {
  name?: string
  url?: string
  recipients?: string[]
  /** null: none any more */
  secret?: string | null
  min_severity?: Severity
  enabled?: boolean
}

export interface NewChannel extends ChannelChange {
  name: string
  type: ChannelType
}

const TELEGRAM = 'https://api.telegram.org'

/** What signs, by type; undefined: nothing does. */
const signs: Partial<Record<ChannelType, string>> = {
  webhook: 'the secret that its receiver checks X-GW-Signature with',
  telegram: "the bot's token",
  feishu: 'the secret of its signature check',
  dingtalk: 'the secret of its signature check',
}

export async function listChannels(db: Db, secret: Secret): Promise<Channel[]> {
  return (await select(db).orderBy('id').execute()).map(row => shown(row, secret))
}

/** @throws Refusal `missing` */
export async function findChannel(db: Db, secret: Secret, ref: string): Promise<Channel> {
  return pick('alert channel', await listChannels(db, secret), ref)
}

/** @throws Refusal `conflict` when the name is taken, `usage` for what its type has not, lacks or cannot use */
export async function addChannel(
  db: Db,
  secret: Secret,
  { type, ...fields }: NewChannel,
  rules: UrlRules,
): Promise<Channel> {
  const { name, url, recipients = [], secret: key, ...plain } = fields
  checkName('alert channel', name)
  const checked = { type, url: given(type, url, key ?? undefined), recipients, secret: key ?? undefined }
  check(checked, rules)
  const row = {
    ...plain,
    name,
    type,
    recipients,
    url: checked.url === undefined ? null : secret.encrypt(checked.url),
    secret: checked.secret === undefined ? null : secret.encrypt(checked.secret),
  }
  const { id } = await unique(
    'alert channel',
    name,
    db.insertInto('alert_channels').values(row).returning('id').executeTakeFirstOrThrow(),
  )
  return byId(db, secret, id)
}

/** Rules that name it go on naming it when it is given another name. @throws as `addChannel`, and Refusal `missing` */
export async function setChannel(
  db: Db,
  secret: Secret,
  ref: string,
  change: ChannelChange,
  rules: UrlRules,
): Promise<Channel> {
  const found = await findChannel(db, secret, ref)
  const { name, url, recipients, secret: key, ...plain } = change
  if (name !== undefined) checkName('alert channel', name)
  // What stands may be refused by now, or unreadable; it can be disabled, and called something else, all the same.
  if (url !== undefined || recipients !== undefined || key !== undefined) {
    const before = await openChannel(db, secret, found.id)
    const after = {
      type: found.type,
      url: url ?? before.url,
      recipients: recipients ?? before.recipients,
      secret: key === undefined ? before.secret : (key ?? undefined),
    }
    check(after, rules)
  }
  const row = {
    ...plain,
    ...(name === undefined ? {} : { name }),
    ...(url === undefined ? {} : { url: secret.encrypt(url.trim()) }),
    ...(recipients === undefined ? {} : { recipients }),
    ...(key === undefined ? {} : { secret: key === null ? null : secret.encrypt(key) }),
    updated_at: new Date(),
  }
  await unique(
    'alert channel',
    name ?? ref,
    db.updateTable('alert_channels').set(row).where('id', '=', found.id).execute(),
  )
  if (name !== undefined && name !== found.name) await renameInRules(db, found.name, name)
  return byId(db, secret, found.id)
}

/** And what was still to be told there. @throws Refusal `missing`, `conflict` while rules name it */
export async function removeChannel(db: Db, secret: Secret, ref: string): Promise<Channel> {
  const channel = await findChannel(db, secret, ref)
  const rules = await rulesOf(db, channel.name)
  if (rules.length > 0)
    throw new Refusal(
      'conflict',
      `alert channel "${channel.name}" is named by ${rules.slice(0, 5).join(', ')}${rules.length > 5 ? ' and others' : ''}; change them first: gw alert rule set ${rules[0]} --notify NAME`,
    )
  await db.deleteFrom('alert_channels').where('id', '=', channel.id).execute()
  return channel
}

/** One as it is sent to. @throws Refusal when its secrets cannot be decrypted, `missing` */
export async function openChannel(db: Db, secret: Secret, id: number): Promise<OpenChannel & { enabled: boolean }> {
  const row = await db
    .selectFrom('alert_channels')
    .select(['name', 'type', 'url', 'recipients', 'secret', 'enabled'])
    .where('id', '=', id)
    .executeTakeFirst()
  if (!row) throw new Refusal('missing', `no alert channel ${id}`)
  return {
    ...row,
    url: row.url === null ? undefined : secret.decrypt(row.url),
    secret: row.secret === null ? undefined : secret.decrypt(row.secret),
  }
}

// A bot's token may stand in the URL, or apart from it.
function given(type: ChannelType, url: string | undefined, secret: string | undefined): string | undefined {
  if (url !== undefined) return url.trim()
  return type === 'telegram' && secret !== undefined ? TELEGRAM : undefined
}

interface Checked {
  type: ChannelType
  url: string | undefined
  recipients: readonly string[]
  secret: string | undefined
}

function check({ type, url, recipients, secret }: Checked, rules: UrlRules): void {
  const refuse = (why: string) => new Refusal('usage', `an alert channel of type ${type} ${why}`)
  if (type === 'email') {
    if (url !== undefined) throw refuse('has no URL: mail is handed in at smtp.url')
    if (recipients.length === 0) throw refuse('needs --to ADDRESS')
  } else if (type === 'telegram') {
    if (url === undefined) throw refuse("needs its bot's token: --secret-file FILE")
    if (secret === undefined && !/\/bot\d+:[\w-]+/.test(url))
      throw refuse("needs its bot's token: --secret-file FILE, or a URL with /botTOKEN in it")
    if (recipients.length !== 1) throw refuse('needs one chat: --to CHAT, its number or @name')
  } else {
    if (url === undefined) throw refuse('needs --url URL')
    if (recipients.length > 0) throw refuse('has no --to: who reads it is said where its URL was made')
  }
  if (secret !== undefined && signs[type] === undefined) throw refuse('has nothing to sign with a secret')
  // An empty secret would be a signature that anybody can make.
  if (secret !== undefined && secret.length < 8) throw refuse(`needs a secret of 8 characters or more: ${signs[type]}`)
  for (const recipient of recipients) checkRecipient(type, recipient)
  const problem = url === undefined ? undefined : readUrl(url, rules)
  if (typeof problem === 'string') throw refuse(`cannot be told: its URL ${problem}${remedy(rules)}`)
}

const remedy = ({ allowPrivate }: UrlRules) => (allowPrivate ? '' : ' (notify.allow_private is false)')

function checkRecipient(type: ChannelType, recipient: string): void {
  const good = type === 'email' ? /^[^\s@,;<>"\p{C}]+@[^\s@,;<>"\p{C}]+$/u : /^(-?\d{1,20}|@\w{4,64})$/
  if (good.test(recipient) && recipient.length <= 254) return
  const what = type === 'email' ? 'an address such as ops@example.org' : "a chat's number such as -100123, or its @name"
  throw new Refusal('usage', `--to must be ${what}, got ${JSON.stringify(recipient)}`)
}

async function rulesOf(db: Db, channel: string): Promise<string[]> {
  const rows = await db
    .selectFrom('alert_rules')
    .select('name')
    .where(eb => eb.or([eb(sql`${channel}`, '=', sql`any(notify)`), eb('fallback', '=', channel)]))
    .orderBy('name')
    .execute()
  return rows.map(({ name }) => name)
}

async function renameInRules(db: Db, from: string, to: string): Promise<void> {
  await db
    .updateTable('alert_rules')
    .set({ notify: sql`array_replace(notify, ${from}, ${to})` })
    .where(sql<boolean>`${from} = any(notify)`)
    .execute()
  await db.updateTable('alert_rules').set({ fallback: to }).where('fallback', '=', from).execute()
}

async function byId(db: Db, secret: Secret, id: number): Promise<Channel> {
  return shown(await select(db).where('id', '=', id).executeTakeFirstOrThrow(), secret)
}

type Row = Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirstOrThrow']>>

function shown({ url, secret: key, ...row }: Row, secret: Secret): Channel {
  let origin: string | null = null
  try {
    if (url !== null) origin = `${new URL(secret.decrypt(url)).origin}/…`
  } catch {
    // Of another installation's secret; its other fields are still worth a line.
  }
  const { id, name, type, recipients, ...rest } = row
  return { id, name, type, url: origin, recipients, secret: key !== null, ...rest }
}

function select(db: Db) {
  return db
    .selectFrom('alert_channels')
    .select(['id', 'name', 'type', 'url', 'recipients', 'secret', 'min_severity', 'enabled'])
    .select(
      sql<Date | null>`(select max(d.sent_at) from alert_deliveries d where d.channel_id = alert_channels.id)`.as(
        'sent_at',
      ),
    )
    .select(
      sql<
        string | null
      >`(select d.error from alert_deliveries d where d.channel_id = alert_channels.id and d.attempts > 0 order by d.id desc limit 1)`.as(
        'problem',
      ),
    )
    .select('created_at')
}

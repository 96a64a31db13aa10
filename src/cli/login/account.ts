// Whose tokens a login is for: an account that there is, or a new one.
import type { Account, AccountChange, NewAccount } from '../../core/record/account.ts'
import type { Db } from '../../db/connect.ts'
import type { Platform } from '../../db/schema.ts'
import { Refusal } from '../../lib/refusal.ts'
import { checkBaseUrl } from '../base-url.ts'
import type { Invocation } from '../command.ts'
import { given, type OrNone } from '../values.ts'
import { type LoginOptions, logIn } from './login.ts'

interface Options extends LoginOptions {
  new?: boolean
  platform?: Platform
  group?: string[]
  baseUrl?: string
  proxy?: OrNone<string>
  clientSecret: string | undefined
}

/** Logs in, and gives the write that keeps what came of it. @throws Refusal before anybody is sent anywhere, where it can */
export async function loginAccount(
  gw: Invocation,
  ref: string,
  options: Options,
): Promise<(db: Db) => Promise<Account>> {
  const [{ addAccount, findAccount, setAccount }, { loadProxy }, { readToken }] = await Promise.all([
    import('../../core/record/account.ts'),
    import('../../core/record/proxy.ts'),
    import('../../core/record/token.ts'),
  ])
  const [db, secret, config] = [await gw.db(), await gw.secret(), await gw.config()]
  const fields: Pick<AccountChange, 'groups' | 'base_url' | 'proxy'> = given({
    groups: options.group,
    base_url: options.baseUrl,
    proxy: options.proxy,
  })
  if (options.new) {
    await checkBaseUrl(gw, options.baseUrl, typeof options.proxy === 'string')
    if (!options.platform) throw new Refusal('usage', '--platform must be given with --new')
    const account: NewAccount = {
      name: ref,
      platform: options.platform,
      type: 'oauth',
      credential: '{"access_token":"none yet"}',
      concurrency: config['defaults.account_concurrency'],
      priority: config['defaults.account_priority'],
      ...fields,
    }
    // What is wrong with it is said before a person has been to the vendor's page.
    await tried(db, tx => addAccount(tx, secret, account))
    const through = fields.proxy ? await loadProxy(db, secret, fields.proxy) : null
    const credential = await logIn(gw, options, undefined, through)
    return tx => addAccount(tx, secret, { ...account, credential })
  }
  if (options.platform || options.group || options.baseUrl)
    throw new Refusal('usage', '--platform, --group and --base-url are of a new account: give --new, or gw account set')
  const found = await findAccount(db, ref)
  if (found.type !== 'oauth')
    throw new Refusal(
      'usage',
      `account "${found.name}" is of type ${found.type} and keeps it; log in to a new one with --new`,
    )
  const proxy = options.proxy === undefined ? found.proxy : (fields.proxy ?? null)
  const through = proxy === null ? null : await loadProxy(db, secret, proxy)
  const stored = await readToken(db, secret, found.id)
  const credential = await logIn(gw, options, stored?.credential, through)
  const status =
    found.status === 'error' || found.status === 'expired' ? ({ status: 'active', reason: null } as const) : {}
  return tx => setAccount(tx, secret, String(found.id), { credential, ...fields, ...status })
}

class Undone extends Error {}

/** Whether it could be done: it is, and is undone. */
async function tried(db: Db, work: (tx: Db) => Promise<unknown>): Promise<void> {
  try {
    await db.transaction().execute(async tx => {
      await work(tx)
      throw new Undone()
    })
  } catch (error) {
    if (!(error instanceof Undone)) throw error
  }
}

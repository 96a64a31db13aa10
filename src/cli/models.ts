// What an account serves and who says so: `gw account models`, and its provider's list read at once.

import type { PriceTable } from '../core/price/price.ts'
import type { Account } from '../core/record/account.ts'
import type { Catalogue } from '../core/record/catalogue.ts'
import { Refusal } from '../lib/refusal.ts'
import { roughly } from '../lib/units.ts'
import type { Invocation } from './command.ts'
import { renewed } from './probe.ts'

interface Served {
  /** as clients name it; all that begin so, where it ends with a star */
  model: string
  /** what its provider is asked for */
  upstream: string
  /** null of names with a star: each has its own */
  priced: boolean | null
  /** who says so: the account's own mapping, its provider's list, or the table that gw brings */
  from: 'account' | 'provider' | 'gw'
  /** when the provider's list was read */
  read_at: Date | null
}

/** @throws Refusal `missing`; with `refresh` also `usage` where there is no list that would count, and `failure` when it cannot be read */
export async function showModels(gw: Invocation, ref: string, refresh: boolean): Promise<void> {
  const [{ findAccount }, { readCatalogue }, { mappingFor }, { operatorPrices, priceTable, shippedPrices }] =
    await Promise.all([
      import('../core/record/account.ts'),
      import('../core/record/catalogue.ts'),
      import('../core/default-models.ts'),
      import('../core/price/price.ts'),
    ])
  const db = await gw.db()
  const found = await findAccount(db, ref)
  if (refresh) await readNow(gw, found)
  const catalogue = await readCatalogue(db, found.id)
  const from: Served['from'] = hasOwn(found) ? 'account' : catalogue.mapping ? 'provider' : 'gw'
  const prices = priceTable([...shippedPrices(), ...(await operatorPrices(db))])
  const served = Object.entries(mappingFor(found.platform, found.model_map, catalogue.mapping))
    .map(([model, upstream]) => ({
      ...{ model, upstream, priced: isPriced(prices, model), from },
      read_at: from === 'provider' ? catalogue.at : null,
    }))
    .sort((a, b) => Number(a.model.endsWith('*')) - Number(b.model.endsWith('*')) || (a.model < b.model ? -1 : 1))
  const every = `account "${found.name}" has no mapping: it serves every model under its own name`
  gw.out.list<Served>(served, row, every, ['read', 'from'])
  if (served.length > 0) tell(gw, found, { served, from, catalogue })
}

const hasOwn = ({ model_map }: Account) => Object.keys(model_map).length > 0

// What a client asks for is what it pays.
const isPriced = (prices: PriceTable, model: string) =>
  model.endsWith('*') ? null : prices.find(model, Date.now()) !== undefined

const row = ({ read_at, ...fields }: Served): object => ({ ...fields, read: read_at })

function tell(
  gw: Invocation,
  account: Account,
  { served, from, catalogue }: { served: readonly Served[]; from: Served['from']; catalogue: Catalogue },
): void {
  const { at, problem } = catalogue
  const says = {
    account: 'its own mapping (--map)',
    provider: `its provider's list, read ${at ? ago(at) : 'at some time'}`,
    gw: "gw's own table: no list of its provider was read yet",
  }
  gw.out.note(`account "${account.name}" serves what it does by ${says[from]}`)
  if (from !== 'account' && problem !== null) gw.out.note(`warning: its provider's list could not be read: ${problem}`)
  const unpriced = served.filter(({ priced }) => priced === false).map(({ model }) => model)
  if (unpriced.length > 0)
    gw.out.note(
      `warning: served but unpriced, so its groups' --unknown-model decides: ${unpriced.join(', ')} (gw price set MODEL)`,
    )
}

function ago(at: Date): string {
  const ms = Date.now() - at.getTime()
  return ms < 1000 ? 'now' : `${roughly(ms)} ago`
}

async function readNow(gw: Invocation, account: Account): Promise<void> {
  const [{ listing, refreshCatalogue }, { upstreamGuard }] = await Promise.all([
    import('../platform/catalogue.ts'),
    import('../lib/guard/upstream.ts'),
  ])
  const { id, name, platform } = account
  if (!listing.includes(platform))
    throw new Refusal('usage', `no list is read of ${platform}; gw reads those of ${listing.join(', ')}`)
  if (hasOwn(account))
    throw new Refusal(
      'usage',
      `account "${name}" has a mapping of its own, which stands above any list; gw account set ${name} --map none takes it away`,
    )
  const config = await gw.config()
  const guard = upstreamGuard(config)
  const world = { db: await gw.db(), secret: await gw.secret(), renew: () => renewed(gw, id), guard }
  const everyMs = config['models.refresh_interval']
  const read = await refreshCatalogue(world, id, { everyMs, force: true })
  if (read.result === 'failed')
    throw new Refusal('failure', `account "${name}": its provider's list of models cannot be read: ${read.problem}`)
  if (read.result === 'stale' || read.result === 'others')
    throw new Refusal('failure', `account "${name}" was changed meanwhile; ask again`)
}

// gw price: what models cost, and which price answers for a name.
import type { Command } from 'commander'
import type { Price, PriceTable, Rates } from '../../core/price.ts'
import { Refusal } from '../../lib/refusal.ts'
import { didYouMean } from '../../lib/suggest.ts'
import { examples } from '../declare.ts'
import type { Invocation } from '../invocation.ts'
import type { Act } from '../run.ts'

const rates = ({ input, output, cacheWrite5m, cacheWrite1h, cacheRead }: Rates) => ({
  input,
  output,
  cache_write_5m: cacheWrite5m,
  cache_write_1h: cacheWrite1h,
  cache_read: cacheRead,
})

const record = ({ model, layer, from, tier, ...price }: Price) => ({
  model,
  layer,
  from: new Date(from),
  ...rates(price),
  tier: tier && { above: tier.above, ...rates(tier) },
})

const row = ({ tier, from, ...price }: ReturnType<typeof record>) => {
  return { ...price, from: from.toISOString().slice(0, 10), tier_above: tier?.above }
}

export function define(noun: Command, act: Act): void {
  noun.description('Prices are USD per million tokens. What an operator set stands over what gw ships.')
  examples(noun, ['gw price show claude-sonnet-4-5-20250929'])

  noun
    .command('list')
    .description('every price, by model')
    .action(act(async gw => gw.out.list((await prices(gw)).all().map(record), row, 'no prices')))

  noun
    .command('show')
    .description('the price that answers for a model name, and why')
    .argument('<model>')
    .action(
      act(async (gw, name: string) => {
        const table = await prices(gw)
        const hit = table.find(name, Date.now())
        if (hit === undefined) {
          const near = didYouMean(name, new Set(table.all().map(price => price.model)))
          throw new Refusal('missing', `no price for model "${name}"${near} (gw price list shows them)`)
        }
        const { model, layer, ...fields } = record(hit.price)
        const rule = hit.match === 'exact' ? 'exact name' : `a dated release of ${model}`
        const unit = 'USD per 1,000,000 tokens'
        const shown = { requested: name, model, match: hit.match, rule, layer, unit, ...fields }
        gw.out.record(shown, { ...shown, from: fields.from.toISOString().slice(0, 10) })
      }),
    )
}

async function prices(gw: Invocation): Promise<PriceTable> {
  const { operatorPrices, priceTable, shippedPrices } = await import('../../core/price.ts')
  return priceTable([...shippedPrices(), ...(await operatorPrices(await gw.db()))])
}

// gw price: what models cost, which price answers for a name, and the prices an operator sets.
import type { Command } from 'commander'
import type { Change } from '../../core/price/change.ts'
import type { Planned, ReadOptions } from '../../core/price/import.ts'
import type { Found } from '../../core/price/price.ts'
import type { Finding } from '../../core/price/read.ts'
import type { Price, PriceRow, Rates } from '../../core/price/row.ts'
import type { Db } from '../../db/connect.ts'
import { formatUsd } from '../../lib/money.ts'
import { Refusal } from '../../lib/refusal.ts'
import { didYouMean } from '../../lib/suggest.ts'
import type { Act } from '../command.ts'
import { destroys, examples, lists, writes } from '../declare.ts'
import {
  contents,
  date,
  type FileOptions,
  fileOptions,
  type SetOptions,
  setOptions,
  written,
} from '../price-options.ts'
import type { Shell } from '../shell.ts'

const DAY = 86_400_000
const unit = 'USD per 1,000,000 tokens'

const rates = (of: Rates) => ({
  input: of.input,
  output: of.output,
  cache_write_5m: of.cacheWrite5m,
  cache_write_30m: of.cacheWrite30m,
  cache_write_1h: of.cacheWrite1h,
  cache_write_12h: of.cacheWrite12h,
  cache_read: of.cacheRead,
})

const record = (price: Price) => ({
  model: price.model,
  vendor: price.vendor,
  layer: price.layer,
  from: new Date(price.from),
  ...rates(price),
  tier: price.tier && { above: price.tier.above, ...rates(price.tier) },
  modes: Object.fromEntries([...price.modes].map(([mode, of]) => [mode, rates(of)])),
  geo: Object.fromEntries(price.geo),
  web_search: price.webSearch,
  source: price.source,
})
type Record = ReturnType<typeof record>

const day = (date: Date) => date.toISOString().replace(/T00:00:00.000Z$/, '')

// A mode a line: together they are too wide to be read.
const view = <T extends Record>({ modes, geo, from, ...price }: T) => ({
  ...price,
  from: day(from),
  ...Object.fromEntries(Object.entries(modes).map(([mode, of]) => [`mode ${mode}`, of])),
  ...Object.fromEntries(Object.entries(geo).map(([name, times]) => [`geo ${name}`, `× ${formatUsd(times)}`])),
})

const row = ({ tier, from, modes, geo, source, ...price }: Record & { state?: string }) => ({
  ...price,
  from: from.toISOString().slice(0, 10),
  tier_above: tier?.above,
  modes: Object.keys(modes),
  geo: Object.keys(geo),
})

const changed = (change: Change) => ({
  field: change.field,
  before: change.field === 'tier.above' ? Number(change.before) : change.before,
  after: change.field === 'tier.above' ? Number(change.after) : change.after,
})

// Names come from files of others: what would steer the terminal is not printed.
const said = ({ model, field, text }: Finding) => `${model}: ${field} ${text}`.replaceAll(/\p{Cc}/gu, '?')

export function define(noun: Command, act: Act): void {
  noun.description(
    'Prices are USD per million tokens. What an operator set stands over what gw ships. A name is looked up exactly, ' +
      'then without its path (vendor/model), then without a release date at its end, then by the longest NAME* there is.',
  )
  examples(noun, [
    'gw price show claude-sonnet-4-5-20250929',
    'gw price set my-model --input 3 --output 15 --cache-read 0.3',
    'gw price diff model_prices_and_context_window.json',
  ])

  lists(noun.command('list'))
    .description('the prices that hold now, by model')
    .option('--model <text>', 'only models whose name holds this, or matches it with *')
    .option('--vendor <vendor>', 'only of this vendor')
    .option('--all', 'past and future ones too')
    .action(
      act(async (gw, { model, vendor, all }: { model?: string; vendor?: string; all?: boolean }) => {
        const { matcher } = await import('../../core/price/import.ts')
        const wanted = matcher([model === undefined ? '*' : model.includes('*') ? model : `*${model}*`])
        const now = Date.now()
        const prices = await table(await gw.db())
        const current = new Set(
          [...Map.groupBy(prices.all(), price => price.model).values()].map(ofOne => inForce(ofOne, now)),
        )
        const state = (price: Price) => (current.has(price) ? 'current' : price.from > now ? 'future' : 'past')
        const shown = prices
          .all()
          .filter(price => (all || current.has(price)) && wanted(price.model))
          .filter(price => vendor === undefined || price.vendor === vendor)
          .map(price => ({ ...record(price), ...(all && { state: state(price) }) }))
        gw.out.list(shown, row, 'no prices')
      }),
    )

  noun
    .command('show')
    .description('the price that answers for a model name, and why')
    .argument('<model>')
    .option('--at <date>', 'at that time; default: now', date('--at'))
    .action(
      act(async (gw, name: string, { at = new Date() }: { at?: Date }) => {
        const prices = await table(await gw.db())
        const hit = prices.find(name, at.getTime())
        if (hit === undefined) {
          const near = didYouMean(name, new Set(prices.all().map(price => price.model)))
          throw new Refusal('missing', `no price for model "${name}"${near} (gw price list shows them)`)
        }
        const { model, ...fields } = record(hit.price)
        const shown = { requested: name, model, match: hit.match, rule: rule(name, hit), unit, ...fields }
        gw.out.record(shown, view(shown))
      }),
    )

  setOptions(writes(noun.command('set')))
    .description('set the price of a model; what is not given, the price does not have')
    .argument('<model>', 'name, or NAME* for every name that begins so')
    .action(
      act(async (gw, name: string, options: SetOptions) => {
        const [{ compiled, priceTable }, { compile }, { lint, errors }, { changes, describe }, { writePrice }] =
          await Promise.all([
            import('../../core/price/price.ts'),
            import('../../core/price/row.ts'),
            import('../../core/price/lint.ts'),
            import('../../core/price/change.ts'),
            import('../../core/price/operator.ts'),
          ])
        const price = written(name, options)
        const { findings, before, after } = await gw.write(async db => {
          const held = await rows(db)
          const found = priceTable(compiled(held)).find(price.model, price.from)
          const before = found && found.match !== 'prefix' ? found.price : undefined
          price.vendor = before?.vendor ?? null
          const findings = lint({ rows: [price], findings: [] }, held)
          const wrong = errors(findings)
          price.accepted = wrong.length > 0
          if (wrong.length > 0 && !options.accept)
            throw new Refusal(
              'refused',
              [...wrong.map(said), 'nothing changed; --accept sets it all the same'].join('\n'),
            )
          await writePrice(db, price)
          return { findings, before, after: compile(price)! }
        })
        for (const finding of findings) if (finding.level !== 'info') gw.out.note(said(finding))
        const differs = before ? changes(before, after) : []
        const fields = record(after)
        const replaces = before ? record(before) : null
        gw.out.record(
          { ...fields, replaces, changes: differs.map(changed) },
          {
            ...view(fields),
            replaces: before ? `the ${before.layer} price from ${day(new Date(before.from))}` : null,
            changes:
              differs.map(change => `${change.field} ${describe(change)}`).join('; ') || (before ? 'none' : null),
          },
        )
      }),
    )

  destroys(noun.command('rm'))
    .description('take prices that an operator set away')
    .argument('<model>')
    .option('--from <date>', 'only what holds from then; a day stands for all of it', date('--from'))
    .action(
      act(async (gw, name: string, { from }: { from?: Date }) => {
        const [{ pricesOf, removePrices }, { compiled }] = await Promise.all([
          import('../../core/price/operator.ts'),
          import('../../core/price/price.ts'),
        ])
        const whole = from !== undefined && from.getTime() % DAY === 0
        const span = from && { from: from.getTime(), to: from.getTime() + (whole ? DAY : 1) }
        const db = await gw.db()
        const { length } = await pricesOf(db, name, span)
        await gw.confirm(`remove ${length === 1 ? 'the price' : `the ${length} prices`} set for "${name}"`)
        const gone = await gw.write(tx => removePrices(tx, name, span))
        gw.out.list(compiled(gone).map(record), row, '')
        if (gw.dryRun) return
        const left = (await table(db)).find(name, Date.now())?.price
        gw.out.note(left ? `${name} has the ${left.layer} price of ${left.model} now` : `${name} has no price now`)
      }),
    )

  lists(fileOptions(noun.command('diff')))
    .description('what importing a file would change')
    .action(
      act(async (gw, file: string, options: FileOptions) => {
        const { planned, unchanged, skipped } = await planOf(gw.shell, await gw.db(), file, options)
        gw.out.list(planned.map(entry), entryRow, 'nothing differs')
        gw.out.note([`${planned.length} differ`, `${unchanged} unchanged`, ...skipped].join(', '))
      }),
    )

  fileOptions(writes(noun.command('import')))
    .description('set the prices of a file that differ from those that hold')
    .option('--accept', 'take rows that lint calls errors, too')
    .action(
      act(async (gw, file: string, options: FileOptions & { accept?: boolean }) => {
        const { errors } = await import('../../core/price/lint.ts')
        const { writePrice } = await import('../../core/price/operator.ts')
        const { planned, unchanged, skipped } = await gw.write(async db => {
          const result = await planOf(gw.shell, db, file, options)
          const planned = result.planned.map(one => {
            const wrong = errors(one.findings).length > 0
            return { ...one, wrong, taken: one.change !== null && (!wrong || options.accept === true) }
          })
          for (const { taken, wrong, row } of planned) if (taken) await writePrice(db, { ...row, accepted: wrong })
          return { ...result, planned }
        })
        const refused = planned.filter(one => !one.taken)
        const taken = planned.length - refused.length
        gw.out.list(
          planned.map(one => ({ ...entry(one), result: one.taken ? 'imported' : 'refused' })),
          one => ({ ...entryRow(one), result: one.result }),
          'nothing differs',
        )
        for (const { findings } of refused)
          for (const finding of errors(findings)) gw.out.note(`refused ${said(finding)}`)
        gw.out.note(
          [`${taken} imported`, `${refused.length} refused`, `${unchanged} unchanged`, ...skipped].join(', ') +
            (refused.length > 0 ? '; --accept takes what can be taken' : ''),
        )
        if (refused.length === 0) return 0
        return taken > 0 ? PARTIAL : REFUSED
      }),
    )

  lists(noun.command('lint'))
    .description('what is wrong with the prices in force, or with those of a file')
    .argument('[file]', "LiteLLM's map, or gw's own format; - is stdin")
    .option('--verbose', 'what is merely worth knowing, too')
    .action(
      act(async (gw, file: string | undefined, { verbose }: { verbose?: boolean }) => {
        const [{ lint, errors }, { inspect, readPrices }, { readShipped }, { operatorRows }] = await Promise.all([
          import('../../core/price/lint.ts'),
          import('../../core/price/import.ts'),
          import('../../core/price/file.ts'),
          import('../../core/price/operator.ts'),
        ])
        const shipped = readShipped()
        const whole = async () => {
          const set = await operatorRows(await gw.db())
          const rows = [...shipped, ...set.rows]
          return { rows, findings: lint({ rows, findings: set.findings }, shipped) }
        }
        const { rows, findings } =
          file === undefined
            ? await whole()
            : inspect(readPrices(await contents(gw.shell, file), { file, now: Date.now() }), shipped)
        const told = findings.filter(finding => verbose || finding.level !== 'info')
        const wrong = errors(findings).length
        const warnings = findings.filter(finding => finding.level === 'warning').length
        gw.out.list(told, ({ model, field, level, text }) => ({ level, model, field, text }), 'nothing to complain of')
        gw.out.note(`${rows.length} prices, ${wrong} errors, ${warnings} warnings`)
        return wrong > 0 ? 1 : 0
      }),
    )
}

const REFUSED = 5
const PARTIAL = 8

/** The sentence that says how the name was found. */
function rule(name: string, { price: { model }, match }: Found): string {
  const found = model.replace(/\*$/, '')
  const path = name.toLowerCase().startsWith(found)
    ? ''
    : `, without the path ${name.slice(0, name.lastIndexOf('/') + 1)}`
  return (
    { exact: 'exact name', release: `a dated release of ${model}`, prefix: `the longest prefix, ${model}` }[match] +
    path
  )
}

/** The price in force now; `prices` are of one model, the latest first. */
function inForce(prices: readonly Price[], now: number): Price | undefined {
  const begun = prices.filter(price => price.from <= now)
  return begun.find(price => price.layer === 'operator') ?? begun[0]
}

/** Every row of both layers. */
async function rows(db: Db): Promise<PriceRow[]> {
  const [{ readShipped }, { operatorRows }] = await Promise.all([
    import('../../core/price/file.ts'),
    import('../../core/price/operator.ts'),
  ])
  return [...readShipped(), ...(await operatorRows(db)).rows]
}

async function table(db: Db) {
  const { compiled, priceTable } = await import('../../core/price/price.ts')
  return priceTable(compiled(await rows(db)))
}

/** What importing the file would do, and what was left out of it. */
async function planOf(shell: Shell, db: Db, file: string, options: FileOptions) {
  const { plan, readPrices } = await import('../../core/price/import.ts')
  const asked: ReadOptions = { file, now: Date.now(), from: options.from?.getTime(), only: options.only }
  const read = readPrices(await contents(shell, file), asked)
  return { ...plan(read, await rows(db)), skipped: [...read.skipped].map(([why, count]) => `${count} ${why}`) }
}

const entry = ({ row, change, changes, most, findings }: Planned) => ({
  model: row.model,
  from: new Date(row.from),
  change,
  // How many times dearer or cheaper; two JSON numbers would not divide more exactly.
  factor: most && most.before > 0n ? Number((most.after * 10_000n) / most.before) / 10_000 : null,
  field: most?.field ?? null,
  input: row.rates.input,
  output: row.rates.output,
  changes: changes.map(changed),
  findings: findings.map(({ field, level, text }) => ({ field, level, text })),
})

const entryRow = ({ model, from, change, factor, field, input, output, findings }: ReturnType<typeof entry>) => ({
  model,
  from: from.toISOString().slice(0, 10),
  change: change ?? 'no price',
  times: factor === null ? null : String(factor),
  of: field,
  input,
  output,
  lint: findings.find(finding => finding.level === 'error')?.level ?? findings.find(f => f.level === 'warning')?.level,
})

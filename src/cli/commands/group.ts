// gw group: pools of accounts of one platform, with their price and billing.
import type { Command } from 'commander'
import type { Group } from '../../core/record/group.ts'
import type { GroupColumn, GroupFilter } from '../../core/record/lists.ts'
import { type Platform, platforms } from '../../db/schema.ts'
import { formatDuration } from '../../lib/units.ts'
import type { Act, Invocation } from '../command.ts'
import { destroys, examples, writes } from '../declare.ts'
import { type Listing, listing, printList } from '../listing.ts'
import * as read from '../values.ts'

interface Fields {
  multiplier?: string
  billing?: Group['billing']
  dailyLimit?: read.OrNone<bigint>
  weeklyLimit?: read.OrNone<bigint>
  monthlyLimit?: read.OrNone<bigint>
  exclusive?: boolean
  unknownModel?: ReturnType<typeof read.unknownModel>
  onDisconnect?: ReturnType<typeof read.onDisconnect>
}

const billings = ['balance', 'subscription'] as const

const record = (group: Group) => {
  const { allowed, unknown_model, fallback_model, on_disconnect, drain_ms, created_at, ...fields } = group
  return {
    ...fields,
    allowed,
    // Four decimal places survive a JSON number, and jq can compare it.
    multiplier: Number(group.multiplier),
    unknown_model: fallback_model === null ? unknown_model : `fallback ${fallback_model}`,
    on_disconnect: drain_ms === null ? on_disconnect : `drain ${formatDuration(drain_ms)}`,
    created_at,
  }
}

const view = (group: Group) => {
  const { created_at, ...fields } = record(group)
  return { ...fields, created: created_at }
}

function fieldOptions(command: Command): Command {
  const limit = (flag: string) => read.orNone(read.usd(flag, 'above zero'))
  return command
    .option('--multiplier <x>', 'times the list price, 0 = free', read.multiplier)
    .option('--billing <how>', billings.join(' or '), read.oneOf('--billing', billings))
    .option('--daily-limit <usd>', 'of each subscription, or none', limit('--daily-limit'))
    .option('--weekly-limit <usd>', 'of each subscription, or none', limit('--weekly-limit'))
    .option('--monthly-limit <usd>', 'of each subscription, or none', limit('--monthly-limit'))
    .option(
      '--unknown-model <what>',
      'a model without a price: reject (default), free, or the model whose price it gets',
      read.unknownModel,
    )
    .option(
      '--on-disconnect <what>',
      'when a client leaves: stop (default) once the cost of the input is known, abort, or "drain 30s" to read on',
      read.onDisconnect,
    )
    .option('--exclusive', 'only for users who were let in: gw group allow')
}

const columns = (fields: Fields) => ({
  multiplier: fields.multiplier,
  billing: fields.billing,
  daily_limit: fields.dailyLimit,
  weekly_limit: fields.weeklyLimit,
  monthly_limit: fields.monthlyLimit,
  exclusive: fields.exclusive,
  ...fields.unknownModel,
  ...fields.onDisconnect,
})

const less = ['on_disconnect', 'unknown_model', 'exclusive', 'allowed', 'daily_limit', 'weekly_limit', 'monthly_limit']

// core/record/lists.ts has these too, but importing it costs --help its speed; the type keeps them the same.
const order = [
  'id',
  'name',
  'platform',
  'multiplier',
  'billing',
  'daily_limit',
  'weekly_limit',
  'monthly_limit',
  'created',
] as const satisfies GroupColumn[]
const narrows = { platform: { words: platforms }, user: 'those that this user may use' }

export function define(noun: Command, act: Act): void {
  noun.description('Groups pool the accounts of one platform; a key belongs to one group.')
  examples(noun, ['gw group add team --platform anthropic --multiplier 1.2', 'gw group set team --daily-limit 50'])

  fieldOptions(writes(noun.command('add')))
    .description('add a group')
    .argument('<name>')
    .requiredOption('--platform <platform>', platforms.join(', '), read.oneOf('--platform', platforms))
    .action(
      act(async (gw, name: string, options: Fields & { platform: Platform }) => {
        const { addGroup } = await import('../../core/record/group.ts')
        const fields = { ...read.given(columns(options)), name, platform: options.platform }
        const group = await gw.write(db => addGroup(db, fields))
        await warnUnpriced(gw, options)
        gw.out.record(record(group), view(group))
      }),
    )

  listing(noun.command('list'), narrows, order)
    .description('list groups')
    .action(
      act(async (gw, options: GroupFilter & Listing<GroupColumn>) => {
        const { groupList } = await import('../../core/record/lists.ts')
        await printList(gw, options, {
          noun: 'group',
          query: db => groupList(db, options, options.sort),
          shown: groups => groups.map(record),
          view: ({ created_at, ...fields }) => fields,
          empty: 'no groups yet; gw group add NAME makes one',
          less,
          fields: narrows,
        })
      }),
    )

  noun
    .command('show')
    .description('show one group')
    .argument('<group>', 'name or number')
    .action(
      act(async (gw, ref: string) => {
        const { findGroup } = await import('../../core/record/group.ts')
        const group = await findGroup(await gw.db(), ref)
        gw.out.record(record(group), view(group))
      }),
    )

  fieldOptions(writes(noun.command('set')))
    .description('change a group')
    .argument('<group>', 'name or number')
    .option('--name <name>', 'a new name')
    .option('--no-exclusive', 'for every user')
    .action(
      act(async (gw, ref: string, options: Fields & { name?: string }) => {
        const { findGroup, groupTies, setGroup } = await import('../../core/record/group.ts')
        const change = read.change({ name: options.name, ...columns(options) })
        const { before, group, ties } = await gw.write(async db => {
          const before = await findGroup(db, ref)
          const group = await setGroup(db, String(before.id), change)
          return { before, group, ties: await groupTies(db, group.id) }
        })
        if (group.billing !== before.billing) warnTied(gw, group, ties)
        await warnUnpriced(gw, options)
        gw.out.record(record(group), view(group))
      }),
    )

  for (const [verb, into, what] of [
    ['allow', true, 'let users into an exclusive group'],
    ['deny', false, 'let users into an exclusive group no longer; their keys of it are refused from now on'],
  ] as const)
    writes(noun.command(verb))
      .description(what)
      .argument('<group>', 'name or number')
      .argument('<users...>', 'names or numbers')
      .action(
        act(async (gw, ref: string, users: string[]) => {
          const { allowInto } = await import('../../core/record/group.ts')
          const group = await gw.write(db => allowInto(db, ref, users, into))
          gw.out.record(record(group), view(group))
        }),
      )

  destroys(noun.command('rm'))
    .description('take a group away; its keys then belong to no group, and its subscriptions end')
    .argument('<group>', 'name or number')
    .action(
      act(async (gw, ref: string) => {
        const { findGroup, removeGroup } = await import('../../core/record/group.ts')
        const found = await findGroup(await gw.db(), ref)
        await gw.confirm(`remove group "${found.name}", revoke its subscriptions and leave its keys without a group`)
        const group = await gw.write(db => removeGroup(db, String(found.id)))
        gw.out.record(record(group), view(group))
      }),
    )
}

/** Says whom a change of billing meets. */
function warnTied(gw: Invocation, { name, billing }: Group, ties: { keys: number; subscriptions: number }): void {
  const { keys, subscriptions } = ties
  if (billing === 'subscription' && keys > 0)
    gw.out.note(
      `warning: keys of group "${name}" (${keys}) now need a subscription of their user: gw sub assign --user USER --group ${name}`,
    )
  if (billing === 'balance' && subscriptions > 0)
    gw.out.note(
      `warning: subscriptions of group "${name}" (${subscriptions}) count no longer; requests are charged to balances`,
    )
}

/** Says that the model to fall back to has no price itself: a slip, or one that is still to be set. */
async function warnUnpriced(gw: Invocation, { unknownModel }: Fields): Promise<void> {
  const model = unknownModel?.fallback_model
  if (!model) return
  const { operatorPrices, priceTable, shippedPrices } = await import('../../core/price/price.ts')
  const table = priceTable([...shippedPrices(), ...(await operatorPrices(await gw.db()))])
  if (table.find(model, Date.now()) === undefined)
    gw.out.note(
      `warning: "${model}" has no price either, so unknown models are rejected until it has: gw price set ${model}`,
    )
}

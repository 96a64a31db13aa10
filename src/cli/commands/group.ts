// gw group: pools of accounts of one platform, with their price and billing.
import type { Command } from 'commander'
import type { Group } from '../../core/group.ts'
import { type Platform, platforms } from '../../db/schema.ts'
import { destroys, examples, writes } from '../declare.ts'
import type { Act } from '../run.ts'
import * as read from '../values.ts'

interface Fields {
  multiplier?: string
  billing?: Group['billing']
  dailyLimit?: read.OrNone<bigint>
  weeklyLimit?: read.OrNone<bigint>
  monthlyLimit?: read.OrNone<bigint>
  exclusive?: boolean
}

const billings = ['balance', 'subscription'] as const

// Four decimal places survive a JSON number, and jq can compare it.
const record = (group: Group) => ({ ...group, multiplier: Number(group.multiplier) })

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
    .option('--exclusive', 'only for users who were let in')
}

const columns = (fields: Fields) => ({
  multiplier: fields.multiplier,
  billing: fields.billing,
  daily_limit: fields.dailyLimit,
  weekly_limit: fields.weeklyLimit,
  monthly_limit: fields.monthlyLimit,
  exclusive: fields.exclusive,
})

export function define(noun: Command, act: Act): void {
  noun.description('Groups pool the accounts of one platform; a key belongs to one group.')
  examples(noun, ['gw group add team --platform anthropic --multiplier 1.2', 'gw group set team --daily-limit 50'])

  fieldOptions(writes(noun.command('add')))
    .description('add a group')
    .argument('<name>')
    .requiredOption('--platform <platform>', platforms.join(', '), read.oneOf('--platform', platforms))
    .action(
      act(async (gw, name: string, options: Fields & { platform: Platform }) => {
        const { addGroup } = await import('../../core/group.ts')
        const fields = { ...read.given(columns(options)), name, platform: options.platform }
        const group = await gw.write(db => addGroup(db, fields))
        gw.out.record(record(group), view(group))
      }),
    )

  noun
    .command('list')
    .description('list groups')
    .action(
      act(async gw => {
        const { listGroups } = await import('../../core/group.ts')
        const groups = (await listGroups(await gw.db())).map(record)
        gw.out.list(groups, ({ created_at, ...fields }) => fields, 'no groups yet; gw group add NAME makes one')
      }),
    )

  noun
    .command('show')
    .description('show one group')
    .argument('<group>', 'name or number')
    .action(
      act(async (gw, ref: string) => {
        const { findGroup } = await import('../../core/group.ts')
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
        const { setGroup } = await import('../../core/group.ts')
        const change = read.change({ name: options.name, ...columns(options) })
        const group = await gw.write(db => setGroup(db, ref, change))
        gw.out.record(record(group), view(group))
      }),
    )

  destroys(noun.command('rm'))
    .description('take a group away; its keys then belong to no group')
    .argument('<group>', 'name or number')
    .action(
      act(async (gw, ref: string) => {
        const { findGroup, removeGroup } = await import('../../core/group.ts')
        const found = await findGroup(await gw.db(), ref)
        await gw.confirm(`remove group "${found.name}" and leave its keys without a group`)
        const group = await gw.write(db => removeGroup(db, String(found.id)))
        gw.out.record(record(group), view(group))
      }),
    )
}

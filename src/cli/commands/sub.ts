// gw sub: which user may use which group, until when, and how much of its limits is used.
import type { Command } from 'commander'
import type { Progress, Subscription } from '../../core/record/subscription.ts'
import { formatUsd } from '../../lib/money.ts'
import { Refusal } from '../../lib/refusal.ts'
import { roughly } from '../../lib/units.ts'
import type { Act, Invocation } from '../command.ts'
import { destroys, examples, lists, writes } from '../declare.ts'
import * as read from '../values.ts'

interface Pair {
  user?: string
  group?: string
}

type Shown = ReturnType<Awaited<ReturnType<typeof presenter>>>

/** Shows a record with its windows as they stand now. */
async function presenter(gw: Invocation) {
  const [{ expiresInDays, progress }, config] = await Promise.all([
    import('../../core/record/subscription.ts'),
    gw.config(),
  ])
  const { timezone } = config
  const now = Date.now()
  return (subscription: Subscription) => {
    const { day, week, month, note, created_at, ...fields } = subscription
    return {
      ...fields,
      expires_in_days: expiresInDays(subscription, now),
      daily: progress('day', day, now, timezone),
      weekly: progress('week', week, now, timezone),
      monthly: progress('month', month, now, timezone),
      note,
      created_at,
    }
  }
}

const spent = (progress: Progress | null) =>
  progress && `${formatUsd(progress.used_usd)} of ${formatUsd(progress.limit_usd)}`

function spentUntil(progress: Progress | null): string | null {
  const resets = progress?.resets_in_seconds
  const rest = resets === null || resets === undefined ? '' : `, resets in ${roughly(resets * 1000)}`
  return progress && `${spent(progress)} (${progress.percentage}%)${rest}`
}

const view = ({ daily, weekly, monthly, expires_in_days, ...fields }: Shown) => {
  const { id, user, group, status, starts_at, expires_at, note, created_at } = fields
  const windows = { daily: spentUntil(daily), weekly: spentUntil(weekly), monthly: spentUntil(monthly) }
  return { id, user, group, status, starts: starts_at, expires: expires_at, ...windows, note, created: created_at }
}

const row = ({ id, user, group, status, expires_at, daily, weekly, monthly, note }: Shown) => {
  const windows = { daily: spent(daily), weekly: spent(weekly), monthly: spent(monthly) }
  return { id, user, group, status, expires: expires_at, ...windows, note }
}

async function print(gw: Invocation, subscription: Subscription): Promise<void> {
  const value = (await presenter(gw))(subscription)
  gw.out.record(value, view(value))
}

async function printAll(gw: Invocation, subscriptions: readonly Subscription[], empty: string): Promise<void> {
  gw.out.list(subscriptions.map(await presenter(gw)), row, empty, ['note', 'daily', 'weekly'])
}

/** A verb for one subscription. */
function named(command: Command): Command {
  return command
    .argument('[subscription]', 'its number, or USER/GROUP')
    .option('--user <user>', 'whose, in place of USER/GROUP')
    .option('--group <group>', 'of which group')
}

function reference(ref: string | undefined, { user, group }: Pair): string {
  const paired = user !== undefined && group !== undefined
  if (ref !== undefined && user === undefined && group === undefined) return ref
  if (ref === undefined && paired) return `${user}/${group}`
  throw new Refusal('usage', 'name one subscription: its number, USER/GROUP, or --user with --group')
}

export function define(noun: Command, act: Act): void {
  noun.description('A subscription lets a user use a group for a time, within limits a day, a week and a month.')
  examples(noun, [
    'gw group add pro --platform anthropic --billing subscription --daily-limit 10',
    'gw sub assign --user alice --group pro --days 30',
    'gw sub extend alice/pro --days 30',
  ])

  writes(noun.command('assign'))
    .description('give users a subscription from now on')
    .requiredOption('--user <user>', 'whose; repeat it, or separate several with commas', read.several())
    .requiredOption('--group <group>', 'a group that is billed by subscription')
    .option('--days <n>', 'how long; default: 30', read.days)
    .option('--note <text>', 'for people', read.note)
    .action(
      act(async (gw, options: { user: string[]; group: string; days?: number; note?: string }) => {
        const { user: users, group, days = 30, note } = options
        const { assignSubscription } = await import('../../core/record/subscription.ts')
        const [only, ...others] = new Set(users)
        if (only === undefined) throw new Refusal('usage', '--user must name at least one user')
        if (others.length === 0)
          return print(gw, await gw.write(db => assignSubscription(db, { user: only, group, days, note })))

        const refused: Refusal[] = []
        const made = await gw.write(async db => {
          const made: Subscription[] = []
          for (const user of [only, ...others])
            try {
              made.push(await assignSubscription(db, { user, group, days, note }))
            } catch (error) {
              if (!(error instanceof Refusal)) throw error
              refused.push(error)
            }
          return made
        })
        const told = refused.map(refusal => refusal.message).join('\n')
        if (made.length === 0) throw new Refusal(refused[0]!.kind, told)
        await printAll(gw, made, '')
        if (refused.length > 0) throw new Refusal('partial', told)
      }),
    )

  writes(named(noun.command('extend')))
    .description('add days to its end, or to today when it has expired')
    .requiredOption('--days <n>', 'how many', read.days)
    .action(
      act(async (gw, ref: string | undefined, options: Pair & { days: number }) => {
        const { extendSubscription, lastExpiry } = await import('../../core/record/subscription.ts')
        const name = reference(ref, options)
        const subscription = await gw.write(db => extendSubscription(db, name, options.days))
        if (subscription.expires_at >= lastExpiry) gw.out.note('no subscription lasts longer than 2099-12-31')
        await print(gw, subscription)
      }),
    )

  lists(noun.command('list'))
    .description('list subscriptions that run')
    .option('--user <user>', 'only of this user')
    .option('--group <group>', 'only of this group')
    .option('--all', 'those that have ended too')
    .action(
      act(async (gw, options: Pair & { all?: boolean }) => {
        const { listSubscriptions } = await import('../../core/record/subscription.ts')
        const empty = 'no subscriptions yet; gw sub assign --user USER --group GROUP makes one'
        await printAll(gw, await listSubscriptions(await gw.db(), options), empty)
      }),
    )

  named(noun.command('show'))
    .description('show one subscription, and how much of its limits is used')
    .action(
      act(async (gw, ref: string | undefined, options: Pair) => {
        const { findSubscription } = await import('../../core/record/subscription.ts')
        await print(gw, await findSubscription(await gw.db(), reference(ref, options)))
      }),
    )

  destroys(named(noun.command('revoke')))
    .description('end a subscription at once, for good')
    .action(
      act(async (gw, ref: string | undefined, options: Pair) => {
        const { findSubscription, revokeSubscription } = await import('../../core/record/subscription.ts')
        const found = await findSubscription(await gw.db(), reference(ref, options))
        await gw.confirm(`revoke subscription ${found.id} of ${found.user} to group "${found.group}" for good`)
        await print(gw, await gw.write(db => revokeSubscription(db, String(found.id))))
      }),
    )
}

// gw ledger: every movement of a balance, and whether the books agree.
import type { Command } from 'commander'
import type { Entry, EntryKind } from '../../core/books/ledger.ts'
import type { Audit, Difference } from '../../core/record/audit.ts'
import { formatUsd } from '../../lib/money.ts'
import type { Act } from '../command.ts'
import { examples, lists } from '../declare.ts'
import type { ListOptions } from '../format.ts'
import * as read from '../values.ts'
import { defineRefused } from './refused.ts'

const kinds = ['opening', 'topup', 'adjustment', 'charge', 'subscription'] as const satisfies EntryKind[]

const row = ({ entry_id, at, kind, amount, balance, request_id, key, actor, note }: Entry) => {
  return { at, kind, amount, balance, request: request_id, key, actor, note, entry: entry_id }
}

const difference = ({ user, check, of, expected, found, difference }: Difference) => {
  return { user, check, of, expected, found, difference }
}

function summary({ users, entries, given, charged, subscriptions, balance }: Audit): string {
  const sums = `${formatUsd(given)} given − ${formatUsd(charged)} charged = ${formatUsd(balance)} left`
  const counted = `${users} user${users === 1 ? '' : 's'}, ${entries} entr${entries === 1 ? 'y' : 'ies'}`
  return `the books agree: ${counted}, ${sums}; ${formatUsd(subscriptions)} of subscriptions`
}

interface Asked {
  user: string
  since?: Date
  kind?: EntryKind
  limit?: number
  before?: string
}

export function define(noun: Command, act: Act): void {
  noun.description('The ledger holds every movement of a balance, with the balance after it.')
  examples(noun, ['gw ledger show --user alice --since 7d', 'gw ledger verify', 'gw ledger refused list'])

  lists(noun.command('show'))
    .description("a user's entries, the newest first")
    .requiredOption('--user <user>', 'whose, by name or number')
    .option('--since <when>', 'a duration back, or a date; default: all there is', read.since('--since'))
    .option('--kind <kind>', `only ${kinds.join(', ')}`, read.oneOf('--kind', kinds))
    .option('--limit <n>', 'at most so many; default: 50', read.whole('--limit', 1, 1_000_000))
    .option('--before <entry>', 'only what is older than this entry: the next page')
    .action(
      act(async (gw, options: ListOptions & Asked) => {
        const { user: ref, limit = 50, output, columns, headers, ...filter } = options
        const [{ findOwner }, { listEntries }] = await Promise.all([
          import('../../core/record/user.ts'),
          import('../../core/books/ledger.ts'),
        ])
        const db = await gw.db()
        const { id, name } = await findOwner(db, ref)
        // One more tells whether there is a next page.
        const entries = await listEntries(db, { ...filter, user: id, limit: limit + 1 })
        const page = entries.slice(0, limit)
        gw.out.list(page, row, 'no entries', ['entry', 'actor', 'note', 'key', 'request'])
        if (entries.length > limit)
          gw.out.note(`older ones: gw ledger show --user ${name} --before ${page.at(-1)!.entry_id}`)
      }),
    )

  noun
    .command('verify')
    .description('compare ledger, balances, usage and what keys have used; exit code 1 when they differ')
    .option('--user <user>', 'only of this user')
    .action(
      act(async (gw, options: { user?: string }) => {
        const [{ findOwner }, { audit, shownOfEach }] = await Promise.all([
          import('../../core/record/user.ts'),
          import('../../core/record/audit.ts'),
        ])
        const { db } = await gw.database()
        const user = options.user === undefined ? undefined : (await findOwner(db, options.user)).id
        const found = await audit(db, user)
        const { differences } = found
        if (gw.out.json) gw.out.print({ ok: differences.length === 0, ...found }, '')
        else if (differences.length === 0) gw.out.print(found, summary(found))
        else gw.out.list(differences, difference, '')
        if (differences.length === 0) return 0
        gw.out.note(`the books do not agree: ${differences.length} differences (at most ${shownOfEach} of each check)`)
        return 1
      }),
    )

  defineRefused(noun, act)
}

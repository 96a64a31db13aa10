// Purses: the buckets that a payer's requests draw on, what a line takes of each, and rows of Postgres as what is spent of them.
import type { Nano } from '../../lib/money.ts'
import type { Fact } from '../../store/store.ts'
import type { UsageLine } from './line.ts'
import { type WindowName, windowNames } from './window.ts'

/** The purse of a user in the store: one key, so that one step can look at all of it. */
export const purseOf = (user: number): string => `user:${user}`

/** What is spent of a balance is the balance, negative: 5 USD are spent = −5 under a limit of 0. */
export const balanceBucket = 'balance'
export const quotaBucket = (key: number): string => `quota:${key}`
export const windowBucket = (subscription: number, span: WindowName): string => `sub:${subscription}:${span}`

export interface Amount {
  bucket: string
  amount: Nano
}

/** What a payment of `amount` takes, and of which buckets. */
export function takes(amount: Nano, payer: { key: number; billing: string; subscription: number | null }): Amount[] {
  const { key, billing, subscription } = payer
  const from = [quotaBucket(key)]
  if (billing === 'balance') from.push(balanceBucket)
  else if (subscription !== null) for (const span of windowNames) from.push(windowBucket(subscription, span))
  return from.map(bucket => ({ bucket, amount }))
}

/** What a line of the spool takes. */
export function takenBy(line: UsageLine): Amount[] {
  return takes(BigInt(line.charged), { key: line.key_id, billing: line.billing, subscription: line.subscription_id })
}

export const balanceFact = (row: { balance: bigint; version: bigint }): Fact => ({
  bucket: balanceBucket,
  spent: -row.balance,
  version: row.version,
})

export const quotaFact = (row: { key_id: number; used: bigint; version: bigint }): Fact => ({
  bucket: quotaBucket(row.key_id),
  spent: row.used,
  version: row.version,
})

export interface SubscriptionUsageRow {
  subscription_id: number
  day_start: Date | null
  day_used: bigint
  week_start: Date | null
  week_used: bigint
  month_start: Date | null
  month_used: bigint
  version: bigint
  /** db/epoch.ts */
  epoch: bigint
}

export function windowFacts(row: SubscriptionUsageRow): Fact[] {
  return windowNames.map(span => ({
    bucket: windowBucket(row.subscription_id, span),
    spent: row[`${span}_used`],
    version: row.version + row.epoch,
    start: row[`${span}_start`]?.getTime(),
  }))
}

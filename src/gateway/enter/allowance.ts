// GET /v1/usage: what a key may still spend, told also when that is nothing (spec/domain.md §11.3).

import { balanceBucket, quotaBucket, windowBucket } from '../../core/books/purse.ts'
import { runs, windowNames, windowsAt } from '../../core/books/window.ts'
import { Failure } from '../../lib/failure.ts'
import { formatUsd, type Nano } from '../../lib/money.ts'
import type { Gateway } from '../gateway.ts'
import type { Caller } from './authenticate.ts'

/**
 * `remaining` is the least of what the balance or the subscription's windows, and the key's own quota, have left; −1 where
 * nothing limits it. Never below 0 but for a balance that is.
 * @throws Failure SUBSCRIPTION_NOT_FOUND
 */
export async function usageOf(gw: Gateway, { key, user, group }: Caller): Promise<object> {
  const spent = await gw.wallet.spent(user.id)
  const left: Nano[] = []
  if (key.quota !== null) left.push(atLeast0(key.quota - (spent.get(quotaBucket(key.id))?.spent ?? 0n)))
  if (group?.billing !== 'subscription') left.push(-(spent.get(balanceBucket)?.spent ?? 0n))
  else {
    const subscription = gw.snapshot.subscription(user.id, group.id)
    if (!subscription || subscription.expiresAt <= gw.now()) throw new Failure('SUBSCRIPTION_NOT_FOUND')
    const windows = windowsAt(gw.now(), gw.config['timezone'])
    for (const span of windowNames) {
      const limit = group.limits[span]
      const used = spent.get(windowBucket(subscription.id, span))
      // A window that is over is empty, though nobody has begun the next.
      const running = used !== undefined && runs(used.start, span, windows)
      if (limit !== null) left.push(atLeast0(limit - (running ? used.spent : 0n)))
    }
  }
  const least = left.reduce<Nano | undefined>((a, b) => (a === undefined || b < a ? b : a), undefined)
  return {
    isValid: true,
    planName: group?.billing === 'subscription' ? group.name : 'balance',
    remaining: least === undefined ? -1 : decimal(least),
    unit: 'USD',
  }
}

const atLeast0 = (nano: Nano): Nano => (nano < 0n ? 0n : nano)

/** A JSON number with every digit, which no JavaScript number has. */
function decimal(nano: Nano): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(formatUsd(nano))
}

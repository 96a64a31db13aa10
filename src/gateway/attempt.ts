// Attempt: select, occupy, exchange, the only loop. Another account is tried only while the client has seen nothing.

import type { Outcome } from '../core/outcome.ts'
import { Failure, type FailureCode } from '../lib/failure.ts'
import { accountSlot, Slot } from './admit.ts'
import type { Caller } from './authenticate.ts'
import type { Downstream } from './downstream.ts'
import { exchange, type Refused } from './exchange.ts'
import type { Gateway } from './gateway.ts'
import type { Call } from './receive.ts'
import { type Candidate, reasons, select } from './select.ts'

let choices = 0

/**
 * Gets the call answered by some account.
 * @throws Failure NO_UPSTREAM, ACCOUNT_CONCURRENCY, UPSTREAM_* when every account tried refused
 */
export async function attempt(
  gw: Gateway,
  call: Call,
  caller: Caller,
  down: Downstream,
  record: Outcome,
): Promise<void> {
  const excluded = new Set<number>()
  let last: Refused | undefined
  for (let switches = 0; ; ) {
    down.check()
    record.phase = 'selecting'
    const { candidate, slot } = await occupy(gw, call, caller, excluded, last, record.id)
    using _ = slot
    gw.chosen.set(candidate.account.id, ++choices)
    record.account = candidate.account
    record.upstreamModel = candidate.upstreamModel
    let refused = await exchange(gw, call, caller, candidate, down, record)
    // A kept-alive connection that the upstream closed meanwhile: the account is fine, the connection was not.
    // The others that are kept may be no better, so the second try makes its own.
    if (refused?.stale) refused = await exchange(gw, call, caller, candidate, down, record, true)
    if (!refused) return
    last = refused
    excluded.add(candidate.account.id)
    if (++switches > gw.config['failover.max_switches']) throw exhausted(last)
  }
}

async function occupy(
  gw: Gateway,
  call: Call,
  caller: Caller,
  excluded: ReadonlySet<number>,
  last: Refused | undefined,
  holder: string,
): Promise<{ candidate: Candidate; slot: Slot }> {
  const { accounts } = caller
  const held = await gw.store.held(accounts.map(a => accountSlot(a.id)))
  const ranking = select({ accounts, model: call.peek.model, now: gw.now(), excluded, held, chosen: gw.chosen })
  for (const candidate of ranking.ranked) {
    const key = accountSlot(candidate.account.id)
    if (await gw.store.acquire(key, holder, candidate.account.concurrency))
      return { candidate, slot: new Slot(gw.store, key, holder) }
  }
  if (last) throw exhausted(last)
  if (ranking.full > 0 || ranking.ranked.length > 0)
    throw new Failure('ACCOUNT_CONCURRENCY', [], { retryAfterMs: 1000 })
  throw new Failure('NO_UPSTREAM', [reasons(ranking.vetoes)])
}

// spec/domain.md §6.5
const byStatus: Record<number, FailureCode> = {
  401: 'UPSTREAM_UNAUTHORIZED',
  403: 'UPSTREAM_FORBIDDEN',
  429: 'UPSTREAM_RATE_LIMITED',
  529: 'UPSTREAM_OVERLOADED',
  500: 'UPSTREAM_UNAVAILABLE',
  502: 'UPSTREAM_UNAVAILABLE',
  503: 'UPSTREAM_UNAVAILABLE',
  504: 'UPSTREAM_UNAVAILABLE',
}

function exhausted(last: Refused): Failure {
  return new Failure(byStatus[last.status] ?? 'UPSTREAM_FAILED', [], {
    cause: new Error(last.reason),
    ...(last.status === 429 ? { retryAfterMs: 5000 } : {}),
  })
}

// gw usage: what was used, by whom, and what it cost.
import type { Command } from 'commander'
import type { UsageFilter, UsageRecord, UsageStats } from '../../core/usage.ts'
import { Refusal } from '../../lib/refusal.ts'
import { examples } from '../declare.ts'
import type { Invocation } from '../invocation.ts'
import type { Act } from '../run.ts'
import * as read from '../values.ts'

type Filter = Omit<UsageFilter, 'request'>

// core/usage.ts has this list too, but importing it costs 100 ms of --help; the type keeps the two the same.
const dimensions = ['user', 'key', 'account', 'model', 'group', 'day', 'hour'] as const satisfies Dimension[]
type Dimension = Parameters<typeof import('../../core/usage.ts').usageStats>[1]['by']

const MONTH = 30 * 86_400_000

const row = (u: UsageRecord) => ({
  at: u.at,
  request: u.request_id,
  user: u.user,
  key: u.key,
  account: u.account,
  model: u.model,
  status: u.status,
  in: u.input_tokens,
  out: u.output_tokens,
  'cache w': u.cache_write_5m_tokens + u.cache_write_1h_tokens,
  'cache r': u.cache_read_tokens,
  charged: u.charged,
  ms: u.duration_ms,
  'first ms': u.first_token_ms,
})

const sums = (s: UsageStats) => ({
  name: s.name,
  requests: s.requests,
  errors: s.errors,
  in: s.input_tokens,
  out: s.output_tokens,
  'cache w': s.cache_write_tokens,
  'cache r': s.cache_read_tokens,
  cost: s.cost,
  charged: s.charged,
})

function filterOptions(command: Command, sinceDefault: string): Command {
  return command
    .option('--since <when>', `a duration back, or a date; default: ${sinceDefault}`, read.since('--since'))
    .option('--user <user>', 'only of this user')
    .option('--key <key>', 'only of this key')
    .option('--account <account>', 'only of this account')
    .option('--model <model>', 'only of this model, as it was requested')
}

export function define(noun: Command, act: Act): void {
  noun.description('Usage is one row a request.')
  examples(noun, ['gw usage list --since 1h --user alice', 'gw usage stats --by day --since 7d'])

  filterOptions(noun.command('list'), 'all there is')
    .description('the newest requests first')
    .option('--limit <n>', 'at most so many; default: 50', read.whole('--limit', 1, 1_000_000))
    .action(
      act(async (gw, options: Filter & { limit?: number }) => {
        const { listUsage } = await import('../../core/usage.ts')
        const { limit = 50, ...filter } = options
        const rows = await found(gw, filter, async known => listUsage(await gw.db(), { ...known, limit }))
        gw.out.list(rows, row, 'no usage yet')
      }),
    )

  filterOptions(noun.command('stats'), '30d')
    .description('sums, the dearest first; days and hours in their order (UTC)')
    .option('--by <what>', `${dimensions.join(', ')}; default: user`, read.oneOf('--by', dimensions))
    .action(
      act(async (gw, options: Filter & { by?: Dimension }) => {
        const { usageStats } = await import('../../core/usage.ts')
        const { by = 'user', since = new Date(Date.now() - MONTH), ...filter } = options
        const rows = await found(gw, { ...filter, since }, async known => usageStats(await gw.db(), { ...known, by }))
        gw.out.list(rows, sums, 'no usage yet')
      }),
    )
}

/**
 * The rows of a filter. A name that nobody bears now may still be in the books, so only when there are no rows either
 * is it a slip.
 */
async function found<T>(gw: Invocation, filter: Filter, query: (known: Filter) => Promise<T[]>): Promise<T[]> {
  const { user, key, account } = filter
  const known = { ...filter }
  let slip: unknown
  const look = async (find: () => Promise<unknown>) => {
    try {
      return await find()
    } catch (error) {
      if (!(error instanceof Refusal && error.kind === 'missing')) throw error
      slip ??= error
      return undefined
    }
  }
  const db = await gw.db()
  const [{ findUser }, { findKey }, { findAccount }] = await Promise.all([
    import('../../core/user.ts'),
    import('../../core/key.ts'),
    import('../../core/account.ts'),
  ])
  if (user !== undefined) await look(() => findUser(db, user))
  if (account !== undefined) await look(() => findAccount(db, account))
  if (key !== undefined)
    await look(async () => {
      const { id, name } = await findKey(db, key)
      // Named by its beginning; by name it stays, because a rotated key shares its name with the one before.
      if (key !== name) known.key = String(id)
    })
  const rows = await query(known)
  if (rows.length === 0 && slip !== undefined) throw slip
  return rows
}

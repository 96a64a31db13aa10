// gw ledger refused: usage lines that could not be read or booked, and what is to become of them.
import type { Command } from 'commander'
import type { UsageLine } from '../../core/books/line.ts'
import type { RefusedLine } from '../../core/books/refused.ts'
import type { Retried } from '../../core/books/retry.ts'
import { Refusal } from '../../lib/refusal.ts'
import { actor } from '../actor.ts'
import type { Act, Invocation } from '../command.ts'
import { destroys, examples, lists, writes } from '../declare.ts'

interface Shown extends RefusedLine {
  request_id: string | null
  user_id: number | null
  /** null where it cannot be read */
  charged: bigint | null
}

const row = ({ number, at, request_id, user_id, charged, why }: Shown) => {
  return { number, at: at === null ? null : new Date(at), why, request: request_id, user: user_id, charged }
}

const outcome = ({ number, request_id, booked, why }: Retried) => {
  return { number, request: request_id, booked, why }
}

const lines = (count: number) => `${count} usage line${count === 1 ? '' : 's'}`

export function defineRefused(ledger: Command, act: Act): void {
  const noun = ledger
    .command('refused')
    .description('Usage lines of this data dir that could not be read or booked: they are charged to nobody.')
  examples(noun, ['gw ledger refused list', 'gw ledger refused retry --all', 'gw ledger refused drop 3 --yes'])

  lists(noun.command('list'))
    .description('the lines and why they were refused, the oldest first')
    .action(
      act(async gw => {
        const { waiting } = await open(gw)
        gw.out.list(waiting, row, 'no line is refused', ['user'])
      }),
    )

  const which = 'lines, by number or request id'
  writes(noun.command('retry').description('book lines now, once what kept them is mended'))
    .argument('[line...]', which)
    .option('--all', 'all of them')
    .action(
      act(async (gw, named: string[], { all }: { all?: boolean }) => {
        const { file, waiting, config } = await open(gw)
        const chosen = choose(waiting, named, all)
        if (chosen.length === 0) return gw.out.list([], row, 'no line is refused')
        const { retryRefused } = await import('../../core/books/retry.ts')
        const { dryRun } = gw
        const how = { file, timezone: config['timezone'], actor: actor(gw.shell), dryRun }
        const retried = await retryRefused(await gw.database(), chosen, how)
        gw.out.list(retried, outcome, '')
        if (dryRun) gw.out.note('dry run: nothing changed')
        const booked = retried.filter(one => one.booked).length
        if (booked === retried.length) return
        throw new Refusal(
          booked > 0 ? 'partial' : 'refused',
          `${retried.length - booked} of ${lines(retried.length)} cannot be booked; gw ledger refused drop gives them up`,
        )
      }),
    )

  destroys(noun.command('drop').description('give lines up: nobody is ever charged for them'))
    .argument('[line...]', which)
    .option('--all', 'all of them')
    .action(
      act(async (gw, named: string[], { all }: { all?: boolean }) => {
        const { file, waiting } = await open(gw)
        const chosen = choose(waiting, named, all)
        if (chosen.length === 0) return gw.out.list([], row, 'no line is refused')
        await gw.confirm(`drop ${lines(chosen.length)}, which nobody is charged for then`)
        const { settleRefused } = await import('../../core/books/refused.ts')
        const numbers = chosen.map(one => one.number)
        if (!gw.dryRun) settleRefused(file, numbers, 'dropped', actor(gw.shell))
        gw.out.list(chosen, row, '')
        if (gw.dryRun) gw.out.note('dry run: nothing changed')
      }),
    )
}

async function open(gw: Invocation) {
  const [config, { refusedFile, readRefused }] = await Promise.all([gw.config(), import('../../core/books/refused.ts')])
  const file = refusedFile(config['data_dir'])
  try {
    return { config, file, waiting: readRefused(file).map(shown) }
  } catch (error) {
    const { message } = error as Error
    throw new Refusal('unreachable', `refused lines cannot be read: ${message}; run gw as who owns the data dir`, {
      cause: error,
    })
  }
}

function shown(refused: RefusedLine): Shown {
  let line: Partial<UsageLine> = {}
  try {
    line = Object(JSON.parse(refused.line ?? ''))
  } catch {
    // Damaged: only its bytes are known.
  }
  const { request_id, user_id, charged } = line
  return {
    ...refused,
    request_id: typeof request_id === 'string' ? request_id : null,
    user_id: typeof user_id === 'number' ? user_id : null,
    charged: typeof charged === 'string' && /^-?\d+$/.test(charged) ? BigInt(charged) : null,
  }
}

/** @throws Refusal `usage` when nothing was named, `missing` when something named is not there */
function choose(waiting: readonly Shown[], named: readonly string[], all = false): readonly Shown[] {
  if (all === named.length > 0)
    throw new Refusal('usage', 'name the lines, by number or request id, or say --all (gw ledger refused list)')
  if (all) return waiting
  const chosen = new Set<Shown>()
  for (const name of named) {
    const found = waiting.filter(one => String(one.number) === name || one.request_id === name)
    if (found.length === 0) throw new Refusal('missing', `no refused line "${name}" (gw ledger refused list shows all)`)
    for (const one of found) chosen.add(one)
  }
  return [...chosen]
}

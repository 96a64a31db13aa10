// gw explain: what became of a request, and why.
import type { Command } from 'commander'
import type { Explanation } from '../../core/explain/explanation.ts'
import type { LatestFilter } from '../../core/explain/latest.ts'
import { Refusal } from '../../lib/refusal.ts'
import type { Act, Invocation } from '../command.ts'
import { examples, lists } from '../declare.ts'
import type { ListOptions } from '../format.ts'
import { running } from '../running.ts'
import * as read from '../values.ts'

const row = (e: Explanation) => ({
  at: new Date(e.at),
  request: e.request_id,
  user: e.user,
  key: e.key,
  model: e.model,
  account: e.attempts.at(-1)?.account ?? null,
  tried: e.attempts.length,
  status: e.status,
  code: e.code,
  ms: e.duration_ms,
  'first ms': e.first_token_ms,
  charged: e.charged,
})

const less = ['first ms', 'key', 'charged', 'tried', 'code', 'ms', 'account', 'user', 'model', 'at']

interface Options extends LatestFilter, ListOptions {
  last?: number | true
}

export function define(noun: Command, act: Act): void {
  lists(noun)
    .description(
      'Tells the story of a request: who asked, which accounts could have served it and why the others could not, what it waited for, what was tried and what came of it, what it used and cost. It works for requests of the last ops.explain.keep (24h), for refused ones too, and when gw is down.',
    )
    .argument('[request-id]', 'from the x-request-id header of the response, or from gw usage list')
    .option('--last [n]', 'list the latest that this node remembers; default: 20', read.whole('--last', 1, 10_000))
    .option('--failed', 'of these, those that ended with an error or in which an account failed')
    .option('--user <user>', 'of these, only of this user')
    .option('--key <key>', 'of these, only of this key')
    .option('--account <account>', 'of these, those in which this account was asked')
    .option('--model <model>', 'of these, only of this model, as it was requested')
    .action(
      act(async (gw, id: string | undefined, { last, failed, user, key, account, model }: Options) => {
        const filter = { failed, user, key, account, model }
        const filtered = Object.values(filter).some(value => value !== undefined)
        if (id === undefined && last === undefined && !filtered)
          throw new Refusal('usage', 'which request? give its id, or --last to list the latest')
        if (id !== undefined && (last !== undefined || filtered))
          throw new Refusal('usage', 'a request id goes without --last and its filters')
        if (id !== undefined) return tell(gw, id)
        const { latest } = await import('../../core/explain/latest.ts')
        const most = typeof last === 'number' ? last : 20
        const { found, looked } = await latest((await gw.config())['data_dir'], filter, most)
        gw.out.list(found, row, 'no such request is remembered here', less)
        if (looked !== undefined) gw.out.note(`the latest ${looked} requests were looked through, not those before`)
      }),
    )
  examples(noun, [
    'gw explain 01935b1e-7d1f-7abc-8def-0123456789ab',
    'gw explain 01935b1e-7d1f-7abc-8def-0123456789ab --json | jq .attempts',
    'gw explain --last --failed --user alice',
  ])
}

async function tell(gw: Invocation, id: string): Promise<void> {
  const explanation = await explained(gw, id)
  if (gw.out.json) return gw.out.print(explanation, '')
  const { story } = await import('../explain/story.ts')
  gw.out.print(null, story(explanation))
}

/** By the daemon, which knows also what is not written yet or still under way; else from its files. */
async function explained(gw: Invocation, id: string): Promise<Explanation> {
  const [{ controlClient }, { explain }, { readRequestId }] = await Promise.all([
    import('../../control/client.ts'),
    import('../../core/explain/explain.ts'),
    import('../../core/explain/request-id.ts'),
  ])
  readRequestId(id)
  const config = await gw.config()
  try {
    return await controlClient(config['control.socket']).post<Explanation>('/explain', { id })
  } catch (error) {
    if (!(error instanceof Refusal) || error.kind !== 'unreachable') throw error
  }
  const db = await running(gw).catch((error: Error) => error.message)
  return explain(id, {
    dataDir: config['data_dir'],
    keepMs: config['ops.explain.keep'],
    db: db ?? 'the embedded database does not run',
    now: Date.now(),
  })
}

// Refreshes the token of one OAuth account, under the same lease as the daemon: what `gw account refresh` does.
import { Refusal } from '../lib/refusal.ts'
import type { Invocation } from './command.ts'

/** @throws Refusal `missing`, `usage` for an account without tokens, `failure` when the vendor gave none */
export async function refreshAccount(gw: Invocation, ref: string): Promise<void> {
  const [{ findAccount }, { createRefresh }, { upstreamGuard }] = await Promise.all([
    import('../core/record/account.ts'),
    import('../core/oauth/refresh.ts'),
    import('../lib/guard/upstream.ts'),
  ])
  const [db, secret] = [await gw.db(), await gw.secret()]
  const { id, name, type } = await findAccount(db, ref)
  if (type !== 'oauth') throw new Refusal('usage', `account "${name}" is of type ${type}; it has no token to refresh`)
  const log = (_level: string, line: string) => gw.out.note(line)
  const guard = upstreamGuard(await gw.config())
  const done = await createRefresh({ db, secret, now: Date.now, log, guard })(id, { force: true })
  if (done.result === 'failed') throw new Refusal('failure', `account "${name}": ${done.reason}`)
}

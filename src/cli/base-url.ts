// Whether a base URL may be an account's: said when it is typed, not when the first request fails.
import { origin } from '../core/record/account.ts'
import { isGuards } from '../lib/guard/guard.ts'
import { upstreamGuard } from '../lib/guard/upstream.ts'
import { Refusal } from '../lib/refusal.ts'
import type { Invocation } from './command.ts'

/**
 * With `upstream.allow_private` false: what it says, and unless the account goes through a proxy, which looks names up itself,
 * where its name leads now. Requests are judged again whenever they connect.
 * @throws Refusal `refused`
 */
export async function checkBaseUrl(gw: Invocation, baseUrl: unknown, proxied: boolean): Promise<void> {
  const guard = upstreamGuard(await gw.config())
  if (!guard || typeof baseUrl !== 'string') return
  const url = new URL(origin(baseUrl))
  try {
    if (proxied) {
      const problem = guard.problem(url)
      if (problem) throw problem
    } else await guard.check(url)
  } catch (error) {
    if (isGuards(error))
      throw new Refusal(
        'refused',
        `--base-url "${baseUrl}": ${(error as Error).message}; give an https URL of the internet, or set upstream.allow_private: true in gw.yaml`,
      )
    gw.out.note(`note: ${url.hostname} cannot be looked up now (${(error as NodeJS.ErrnoException).code ?? error})`)
  }
}

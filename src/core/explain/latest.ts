// The latest requests that this node remembers, for who has no id at hand.

import { filesOf } from './explain.ts'
import type { Explanation } from './explanation.ts'
import { linesBackwards } from './files.ts'
import { readIfWhole } from './read-line.ts'
import { readRequestId } from './request-id.ts'

export interface LatestFilter {
  /** those that ended with an error, or in which an account failed */
  failed?: boolean | undefined
  user?: string | undefined
  key?: string | undefined
  /** it was asked, whatever came of it */
  account?: string | undefined
  model?: string | undefined
}

// So many lines are looked through: what is looked for may be rare.
const MOST_LINES = 200_000

/** Those that ended last come first. `looked`: the end of what is remembered was not reached, after so many requests */
export async function latest(
  dataDir: string,
  filter: LatestFilter,
  most: number,
): Promise<{ found: Explanation[]; looked: number | undefined }> {
  const found: Explanation[] = []
  let looked = 0
  for (const file of (await filesOf(dataDir)).reverse())
    for await (const { id, json } of linesBackwards(file.path)) {
      if (found.length === most) return { found, looked: undefined }
      if (looked++ === MOST_LINES) return { found, looked: MOST_LINES }
      const explanation = readNamed(id, json)
      if (explanation && fits(explanation, filter)) found.push(explanation)
    }
  return { found, looked: undefined }
}

// A crash may have left half an id.
function readNamed(id: string, json: string): Explanation | undefined {
  try {
    return readIfWhole(id, readRequestId(id).at, json)
  } catch {
    return undefined
  }
}

function fits(e: Explanation, { failed, user, key, account, model }: LatestFilter): boolean {
  if (user !== undefined && e.user !== user) return false
  if (key !== undefined && e.key !== key) return false
  if (model !== undefined && e.model !== model) return false
  if (account !== undefined && !e.attempts.some(attempt => attempt.account === account)) return false
  return !failed || e.status! >= 400 || e.error !== null || e.attempts.some(attempt => attempt.error !== '')
}

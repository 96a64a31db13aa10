// A provider's own list of models, asked for with an account and stored as its catalogue, by whoever's turn it is.
import { concealerOf } from '../core/conceal.ts'
import type { Credential } from '../core/credential.ts'
import { shippedModels } from '../core/default-models.ts'
import { loadAccount } from '../core/read-snapshot.ts'
import { claimCatalogue, noteCatalogueProblem, storeCatalogue } from '../core/record/catalogue.ts'
import { type AccountFacts, credentialOf } from '../core/snapshot.ts'
import type { Db } from '../db/connect.ts'
import { ask } from '../egress/ask.ts'
import { type Guard, isGuards } from '../lib/guard/guard.ts'
import { codeOf } from '../lib/own-trouble.ts'
import type { Secret } from '../lib/secret.ts'
import type { Platform } from './platform.ts'
import { platformTable } from './table.ts'
import { brief, networkVerdict, readError } from './verdict.ts'

const TIMEOUT_MS = 15_000
// Each model comes with its limits and quotas.
const LARGEST = 2 * 1024 * 1024
/** After a reading that gave nothing. */
export const RETRY_MS = 10 * 60_000

/** The platforms whose providers can be asked. */
export const listing = Object.values(platformTable).flatMap(({ name, catalogue }) => (catalogue ? [name] : []))

export interface ReadingWorld {
  db: Db
  secret: Secret
  /** Makes the token of an account new, whose upstream says that it is over. @returns whether it did */
  renew: (account: AccountFacts) => Promise<boolean>
  /** where accounts may not have any base URL */
  guard?: Guard | undefined
  /** ends what is under way */
  leaving?: AbortSignal
}

/** `others`: it is not due, or somebody else is at it. `stale`: the account was changed meanwhile, and is due again. */
export type Reading =
  | { result: 'same' | 'changed'; models: number }
  | { result: 'others' | 'stale' }
  /** `first` since one gave a list; `problem` is fit for logs */
  | { result: 'failed'; problem: string; first: boolean }

/** Asks for the list of an account and keeps it. What is no list changes nothing. */
export async function refreshCatalogue(
  world: ReadingWorld,
  id: number,
  { everyMs, force = false }: { everyMs: number; force?: boolean },
): Promise<Reading> {
  const { db } = world
  const claim = await claimCatalogue(db, id, { retryMs: Math.min(RETRY_MS, everyMs), force })
  if (claim === undefined) return { result: 'others' }
  const read = await readList(world, id)
  if (typeof read !== 'string') {
    const result = await storeCatalogue(db, id, { claim, mapping: read, everyMs })
    return result === 'stale'
      ? { result }
      : { result, models: Object.keys(read).filter(name => !name.endsWith('*')).length }
  }
  if (world.leaving?.aborted) return { result: 'others' }
  return { result: 'failed', problem: read, first: await noteCatalogueProblem(db, id, claim, read) }
}

/** The mapping that a provider's list makes, or in words why there is none. */
async function readList(world: ReadingWorld, id: number): Promise<Record<string, string> | string> {
  for (let again = false; ; again = true) {
    let account: AccountFacts
    try {
      account = await loadAccount(world.db, world.secret, { id })
    } catch (error) {
      return brief((error as Error).message)
    }
    const platform = platformTable[account.platform]
    if (!platform.catalogue) return `${account.platform} has no list`
    const { status, text } = await asked(platform, account, credentialOf(account), world)
    if (status === 401 && !again && (await world.renew(account))) continue
    if (status === undefined) return text
    if (status !== 200) {
      const { message } = readError(text)
      return `status ${status}${message === '' ? '' : `: ${brief(message)}`}`
    }
    return platform.catalogue.mapping(text, shippedModels(account.platform)) ?? 'what came is no list of models'
  }
}

/** An answer with the credential taken out, or why there is none. */
async function asked(
  platform: Platform,
  account: AccountFacts,
  credential: Credential,
  { guard, leaving }: Pick<ReadingWorld, 'guard' | 'leaving'>,
): Promise<{ status?: number; text: string }> {
  const { call, body } = platform.catalogue!.ask(account, credential)
  try {
    const { method, origin, path, headers } = platform.prepare(call, account, credential)
    const answer = await ask(
      { url: new URL(path, origin), method, headers, body },
      { through: account.proxy, guard, timeoutMs: TIMEOUT_MS, mostBytes: LARGEST, leaving },
    )
    return { status: answer.status, text: concealerOf(credential).text(answer.body) }
  } catch (error) {
    // A message may quote a header; those of a proxy, of the guard and of a wait are our own.
    const { code, message } = error as NodeJS.ErrnoException
    const failed = networkVerdict(codeOf(error as NodeJS.ErrnoException))
    return { text: failed.class === 'proxy' || code === 'ETIMEDOUT' || isGuards(error) ? message : failed.reason }
  }
}

// Enters the embedded Postgres of a configuration, before anything else of the database is loaded.

import type { Config } from '../config/schema.ts'
import { Refusal } from '../lib/refusal.ts'
import { why } from '../lib/why.ts'
import type { Embedded, EmbeddedOptions } from './embedded.ts'

export type { Embedded } from './embedded.ts'

/** @throws Refusal `unreachable` with one line that says what is wrong */
export async function enterEmbedded(
  config: Config,
  log: ((line: string) => void) | undefined,
  more: Pick<EmbeddedOptions, 'started' | 'giveUp'> = {},
): Promise<Embedded> {
  const { openEmbedded } = await import('./embedded.ts')
  try {
    return await openEmbedded(config['data_dir'], { ...(log ? { log } : {}), ...more })
  } catch (error) {
    throw new Refusal('unreachable', `embedded Postgres in ${config['data_dir']}: ${why(error)}`, {
      cause: error,
    })
  }
}

/** Resolves when the embedded Postgres is entered or on its way up: what is loaded meanwhile costs no time. */
export async function enteringEmbedded(
  config: Config,
  log: (line: string) => void,
  giveUp?: AbortSignal,
): Promise<{ embedded: Promise<Embedded> | undefined }> {
  if (config['database.url'] !== undefined) return { embedded: undefined }
  const started = Promise.withResolvers<void>()
  const embedded = enterEmbedded(config, log, { started: started.resolve, giveUp })
  // Whoever opens the database hears of a failure.
  await Promise.race([started.promise, embedded]).catch(() => {})
  return { embedded }
}

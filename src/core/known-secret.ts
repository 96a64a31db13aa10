// The secret of a database: what was made with another one is useless here, so nobody starts with another.
import { sql } from 'kysely'
import type { Db } from '../db/connect.ts'
import { Refusal } from '../lib/refusal.ts'
import { openSecret, type Secret, sealedWith } from '../lib/secret.ts'

const KEY = 'secret.fingerprint'

/**
 * Opens the key file and compares it with the fingerprint that the database keeps, which the first to come writes. The file is
 * made only for a database that knows none yet.
 * @throws Refusal `config` when this database was used with another key, and as `openSecret`
 */
export async function openKnownSecret(db: Db, file: string): Promise<Secret> {
  const known = await knownTo(db)
  const secret = openSecret(file, {
    missing: known && 'client keys and credentials in this database were made with it',
  })
  const { fingerprint } = secret
  // Of two that come first, one writes: the other must agree with it.
  if (known !== fingerprint && fingerprint.startsWith(known ?? ''))
    await db
      .insertInto('settings')
      .values({ key: KEY, value: JSON.stringify(fingerprint) })
      .onConflict(oc => oc.column('key').doNothing())
      .execute()
  const kept = known === fingerprint ? known : (await knownTo(db))!
  if (kept === fingerprint) return secret
  throw new Refusal(
    'config',
    `secret.key_file ${file} holds another key (${shown(fingerprint)}) than the one that this database was used with (${shown(kept)}): no client key would be known and no credential readable; restore that file from your backup, or name it in secret.key_file`,
  )
}

/** Whether there is anything in the database that only one key is good for. */
export const isKnown = async (db: Db): Promise<boolean> => (await knownTo(db)) !== undefined

/** The fingerprint, or the beginning of it that a database older than fingerprints has in what it stored. */
async function knownTo(db: Db): Promise<string | undefined> {
  const row = await db.selectFrom('settings').select('value').where('key', '=', KEY).executeTakeFirst()
  if (row) return row.value as string
  const { rows } = await sql<{ sealed: Buffer }>`
    (select credential as sealed from accounts limit 1) union all (select url from proxies limit 1)`.execute(db)
  return rows[0] && sealedWith(rows[0].sealed)
}

const shown = (fingerprint: string) => `${fingerprint.slice(0, 8)}…`

// Records are named by name or number, everywhere (spec/cli.md §1.8).
import { Refusal } from '../../lib/refusal.ts'
import { didYouMean } from '../../lib/suggest.ts'

/** A record's name: letters, digits and `. _ @ + : -`, at most 100; not a number, since numbers are ids. */
export function checkName(noun: string, name: string): string {
  if (!/^[\p{L}\p{N}][\p{L}\p{N}._@+:-]{0,99}$/u.test(name))
    throw new Refusal(
      'usage',
      `${noun} name "${name}" is not allowed: use 1–100 letters, digits and . _ @ + : - and begin with a letter or digit`,
    )
  if (/^\d+$/.test(name))
    throw new Refusal('usage', `${noun} name "${name}" is a number, and numbers name records by id; add a letter`)
  return name
}

/**
 * The record that `ref` names: an id when it is all digits, else a name.
 * @throws Refusal `missing`, with the nearest name there is
 */
export function pick<T extends { id: number; name: string }>(noun: string, records: readonly T[], ref: string): T {
  const found = /^\d+$/.test(ref) ? records.find(r => r.id === Number(ref)) : records.find(r => r.name === ref)
  if (found) return found
  throw new Refusal(
    'missing',
    `no ${noun} "${ref}"${didYouMean(
      ref,
      records.map(r => r.name),
    )} (gw ${noun} list shows them)`,
  )
}

/** Turns Postgres' unique violation into the refusal an operator understands. */
export async function unique<T>(noun: string, name: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    const { code, constraint } = error as { code?: string; constraint?: string }
    if (code !== '23505') throw error
    const what = constraint?.endsWith('_email')
      ? `a ${noun} with this e-mail`
      : constraint?.endsWith('_digest')
        ? 'this key value'
        : `${noun} "${name}"`
    throw new Refusal('conflict', `${what} exists already; choose another, or change it with gw ${noun} set`, {
      cause: error,
    })
  }
}

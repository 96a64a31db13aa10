// A purse on its way to Redis and back: amounts and versions travel as text, so that nothing rounds them.

import type { Amount, Change, Fact, Purse, Reserved, Want } from '../store.ts'
import type { Later } from './epoch.ts'

/** What Redis says of a reservation. */
export type Judged = { held: true; facts: Fact[] } | Exclude<Reserved, { held: true }>

/** The arguments of `purse.lua`, after how long the purse is kept. */
export function writeChange(
  { facts = [], holds = [], gone = [] }: Change,
  { wants = [], mend = false }: { wants?: readonly Want[]; mend?: boolean | undefined } = {},
): (string | number)[] {
  const flat: (string | number)[] = [mend ? 1 : 0, wants.length]
  for (const { bucket, amount, limit, window } of wants)
    flat.push(bucket, `${amount}`, limit === undefined ? '' : `${limit}`, window?.start ?? '', window?.oldest ?? '')
  flat.push(facts.length)
  for (const { bucket, spent, version, start } of facts) flat.push(bucket, `${spent}`, `${version}`, start ?? '')
  flat.push(holds.length)
  for (const { holder, amounts, ttlMs } of holds) flat.push(holder, Math.ceil(ttlMs), writeAmounts(amounts))
  flat.push(gone.length)
  for (const holder of gone) flat.push(holder)
  return flat
}

const writeAmounts = (amounts: readonly Amount[]) =>
  `[${amounts.map(({ bucket, amount }) => `${JSON.stringify(bucket)},"${amount}"`).join(',')}]`

/** What `purse.lua` returns. */
export function readReserved([said, ...rest]: (string | null)[], wants: readonly Want[]): Judged | Later {
  if (said === 'later') return 'later'
  if (said === 'full') return { held: false, bucket: rest[0]! }
  if (said === 'unknown') return { held: false, unknown: rest as string[] }
  const facts = wants.flatMap(({ bucket }, i): Fact[] => {
    const [spent, version, start] = rest.slice(i * 3, i * 3 + 3)
    return spent == null ? [] : [{ bucket, spent: BigInt(spent), version: BigInt(version!), start: readStart(start) }]
  })
  return { held: true, facts }
}

/** The hash of `purse.lua`: field, value, field, value, … */
export function readPurse(flat: readonly string[]): Purse {
  const fields: Record<string, string> = Object.create(null)
  for (let i = 0; i < flat.length; i += 2) fields[flat[i]!] = flat[i + 1]!
  const named = (kind: string) =>
    Object.keys(fields).flatMap(field => (field.startsWith(`${kind} `) ? [field.slice(kind.length + 1)] : []))
  const buckets = named('used')
    .sort()
    .map(bucket => {
      const spent = fields[`spent ${bucket}`]
      return {
        bucket,
        used: BigInt(fields[`used ${bucket}`]!),
        spent: spent === undefined ? undefined : BigInt(spent),
        start: readStart(fields[`start ${bucket}`]),
      }
    })
  return { buckets, holders: named('hold').sort() }
}

const readStart = (start: string | null | undefined) => (start == null ? undefined : Number(start))

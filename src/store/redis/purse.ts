// A purse on its way to Redis and back: amounts and versions travel as text, so that nothing rounds them.
import type { Change, Fact, Purse, Reserved, Want } from '../store.ts'

/** What Redis says of a reservation. */
export type Judged = { held: true; facts: Fact[] } | Exclude<Reserved, { held: true }>

/** The argument of `purse.lua`. */
export function writeChange(
  { facts, holds, gone }: Change,
  more: { wants?: readonly Want[]; mend?: boolean | undefined },
): string {
  const change = {
    ...more,
    facts,
    holds: holds?.map(({ holder, amounts, ttlMs }) => ({
      holder,
      amounts: amounts.map(({ bucket, amount }) => [bucket, amount]),
      ttlMs: Math.ceil(ttlMs),
    })),
    gone,
  }
  return JSON.stringify(change, (_, value) => (typeof value === 'bigint' ? value.toString() : value))
}

/** What `purse.lua` returns. */
export function readReserved([said, ...rest]: (string | null)[], wants: readonly Want[]): Judged {
  if (said === 'full') return { held: false, bucket: rest[0]! }
  if (said === 'unknown') return { held: false, unknown: rest as string[] }
  const facts = wants.flatMap(({ bucket }, i): Fact[] => {
    const [spent, version, start] = rest.slice(i * 3, i * 3 + 3)
    return spent == null ? [] : [{ bucket, spent: BigInt(spent), version: BigInt(version!), start: readStart(start) }]
  })
  return { held: true, facts }
}

/** The hash of `purse.lua`. */
export function readPurse(fields: Record<string, string>): Purse {
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

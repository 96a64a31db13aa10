// Money: bigint nano-USD (1e-9 USD) inside, decimal strings of USD at the edges, never a float.

/** Nano-USD. */
export type Nano = bigint

const NANO = 1_000_000_000n

/** Nano-USD of `12.50`, `-3`, `0.000000001`; undefined when it is not a decimal of at most nine places. */
export function parseUsd(text: string): Nano | undefined {
  const match = /^(-)?(\d{1,9})(?:\.(\d{1,9}))?$/.exec(text.trim())
  if (!match) return undefined
  const value = BigInt(match[2]!) * NANO + BigInt((match[3] ?? '').padEnd(9, '0'))
  return match[1] ? -value : value
}

/** `12.50`: at least two places, more only where they hold something. */
export function formatUsd(nano: Nano): string {
  const abs = nano < 0n ? -nano : nano
  const places = (abs % NANO)
    .toString()
    .padStart(9, '0')
    .replace(/0{1,7}$/, '')
  return `${nano < 0n ? '-' : ''}${abs / NANO}.${places}`
}

/** a × b ÷ c for c > 0, rounded half away from zero; for money times a rate. */
export function mulDiv(a: bigint, b: bigint, c: bigint): bigint {
  const product = a * b
  return product < 0n ? -((-product + c / 2n) / c) : (product + c / 2n) / c
}

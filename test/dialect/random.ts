// Random choices that are the same at every run.

export type Random = (below: number) => number

/** mulberry32. */
export function generator(seed: number): Random {
  return below => {
    seed = (seed + 0x6d2b79f5) | 0
    let x = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) % below
  }
}

export const one = <T>(random: Random, of: readonly T[]): T => of[random(of.length)]!

/** The bytes in pieces of random sizes, some of them empty. */
export function torn(random: Random, bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const size = one(random, [0, 1, 2, 7, random(200), random(20_000)])
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return pieces
}

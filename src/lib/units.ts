// Durations and byte sizes as people write them.

const durations: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const sizes: Record<string, number> = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 }

/** Milliseconds of `250ms 90s 15m 12h 30d` (also `1h30m`), or undefined when it is not a duration. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined
  let total = 0
  for (const [, n, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) total += Number(n) * durations[unit!]!
  return Math.round(total)
}

/** The shortest exact spelling: 90000 → `90s`, 600000 → `10m`. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'])
    if (ms !== 0 && ms % durations[unit]! === 0) return `${ms / durations[unit]!}${unit}`
  return `${ms}ms`
}

/** Bytes of `512B 64KB 100MB 2GB` (powers of 1024), or undefined. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+)\s*(b|kb|mb|gb)$/i.exec(text)
  return match ? Number(match[1]) * sizes[match[2]!.toLowerCase()]! : undefined
}

/** The shortest exact spelling: 104857600 → `100MB`. */
export function formatSize(bytes: number): string {
  for (const unit of ['gb', 'mb', 'kb'])
    if (bytes !== 0 && bytes % sizes[unit]! === 0) return `${bytes / sizes[unit]!}${unit.toUpperCase()}`
  return `${bytes}B`
}

// Durations and byte sizes as people write them, and spans of time as they read them.

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

const largest = ['d', 'h', 'm', 's'] as const

/** A length of time, ms, in its largest unit; rounded, so that what ends in 30 days does not say 29 a moment later. */
export function roughly(ms: number): string {
  const unit = largest.find(unit => ms >= 0.95 * durations[unit]!) ?? 's'
  return `${Math.round(ms / durations[unit]!)}${unit}`
}

/** The same for a column of a table, rounded in the smaller of its units: `45s 5m 2h5m 3d4h 12d`. */
export function brief(ms: number): string {
  if (ms < 59.5 * durations['s']!) return `${Math.round(ms / durations['s']!)}s`
  if (ms < 59.5 * durations['m']!) return `${Math.round(ms / durations['m']!)}m`
  const minutes = Math.round(ms / durations['m']!)
  if (minutes < 10 * 60) return `${Math.floor(minutes / 60)}h${minutes % 60 === 0 ? '' : `${minutes % 60}m`}`
  const hours = Math.round(ms / durations['h']!)
  if (hours < 24) return `${hours}h`
  if (hours < 10 * 24) return `${Math.floor(hours / 24)}d${hours % 24 === 0 ? '' : `${hours % 24}h`}`
  return `${Math.round(ms / durations['d']!)}d`
}

/** The same in its two largest units, rounded up: `45s 4m12s 1h05m 2d03h`. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000))
  const two = (value: number) => String(value).padStart(2, '0')
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600), Math.floor(seconds / 60)]
  if (days > 0) return `${days}d${two(hours % 24)}h`
  if (hours > 0) return `${hours}h${two(minutes % 60)}m`
  return minutes > 0 ? `${minutes}m${two(seconds % 60)}s` : `${seconds}s`
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

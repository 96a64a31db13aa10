// Request ids: UUIDs that sort by time (RFC 9562 version 7), so that their index grows at one end.
import { randomFillSync } from 'node:crypto'

const pool = Buffer.alloc(10 * 256)
let next = pool.length

/** A new id for a request that began at `ms` (Unix epoch). */
export function requestId(ms: number): string {
  if (next === pool.length) {
    randomFillSync(pool)
    next = 0
  }
  const time = ms.toString(16).padStart(12, '0')
  const random = pool.toString('hex', next, next + 10)
  next += 10
  const variant = (8 + (Number.parseInt(random[3]!, 16) & 3)).toString(16)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-${variant}${random.slice(4, 7)}-${random.slice(7, 19)}`
}

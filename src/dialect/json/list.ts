// The elements of a list where they stand, and where to cut so that some of them are gone.
import type { Span } from '../dialect.ts'
import { elements, valueEnd } from './walk.ts'

export function spans(body: Buffer, { start }: Span): Span[] {
  return Array.from(elements(body, start), from => ({ start: from, end: valueEnd(body, from) }))
}

/** The spans of elements that go, each with one comma. */
export function removed(all: readonly Span[], gone: ReadonlySet<number>): Span[] {
  const out: Span[] = []
  for (let i = 0; i < all.length; i++) {
    if (!gone.has(i)) continue
    const first = i
    while (gone.has(i + 1)) i++
    const before = all[first - 1]
    const after = all[i + 1]
    const start = before ? before.end : all[first]!.start
    const end = before || !after ? all[i]!.end : after.start
    out.push({ start, end })
  }
  return out
}

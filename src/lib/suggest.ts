// "Did you mean": the nearest of some known words.

/** So many letters may be added, lost or other for a known word to be what was meant. */
export const reach = (word: string): number => Math.max(1, Math.floor(word.length * 0.4))

/** The known word nearest to `word`, or undefined when none is near enough to be what was meant. */
export function suggest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = reach(word) + 1
  for (const candidate of known) {
    const d = distance(word.toLowerCase(), candidate.toLowerCase(), bestDistance)
    if (d < bestDistance) {
      bestDistance = d
      best = candidate
    }
  }
  return best
}

/** `; did you mean "x"?` or nothing: the tail of an error about an unknown word. */
export function didYouMean(word: string, known: Iterable<string>): string {
  const near = suggest(word, known)
  return near === undefined ? '' : `; did you mean "${near}"?`
}

// Optimal string alignment: a swap of neighbours, the commonest slip, counts once.
function distance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit
  let before: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let d = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) d = Math.min(d, before[j - 2]! + 1)
      row.push(d)
    }
    before = previous
    previous = row
  }
  return previous[b.length]!
}

// Percentiles of measurements, as a line of text.

export function percentiles(values: readonly number[], which: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b)
  return which.map(p => `p${p} ${sorted[Math.ceil((sorted.length * p) / 100) - 1]!.toFixed(2)}`).join(', ')
}

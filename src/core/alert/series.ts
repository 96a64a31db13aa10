// Recorded series of a metric, in the notation of tests: `0x5 12 12 0x3`, as promtool's, and what may be missing.

/** What an evaluation finds: a value, nothing to measure, or that nobody evaluated. */
export type Sample = number | 'none' | 'missed'

const LONGEST = 100_000

/**
 * `12` is a value; `0x5` five of them; `1+2x4` is 1 3 5 7, and `9-3x3` 9 6 3; `_` is an evaluation with nothing to measure (no
 * traffic), `!` one that was missed, both with `x5` for five of them.
 * @returns what is wrong, in words, when it is none
 */
export function parseSeries(text: string): Sample[] | string {
  const samples: Sample[] = []
  const words = text.trim().split(/\s+/)
  for (const word of words) {
    const match = /^(?:(?<mark>[_!])|(?<first>-?\d+(?:\.\d+)?)(?<step>[+-]\d+(?:\.\d+)?)?)(?:x(?<times>\d+))?$/.exec(
      word,
    )
    if (!match)
      return `"${word}" is no part of a series; write values such as 12, 0x5 (five of them), 1+2x4 (1 3 5 7), _ (nothing to measure) or ! (missed)`
    const { mark, first, step, times } = match.groups!
    const count = times === undefined ? 1 : Number(times)
    if (samples.length + count > LONGEST) return `a series has at most ${LONGEST} values`
    for (let i = 0; i < count; i++)
      samples.push(mark === '_' ? 'none' : mark === '!' ? 'missed' : Number(first) + i * Number(step ?? 0))
  }
  return samples
}

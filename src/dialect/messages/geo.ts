// Where an answer is computed, in the words of the Messages dialect.

// `not_available` is what older models say, which run anywhere.
const anywhere = new Set(['global', 'not_available'])

/** The region by the vendor's word; '' for anywhere and for what is no word. */
export function geoOf(value: unknown): string {
  return typeof value === 'string' && /^[a-z][a-z0-9_-]{0,31}$/.test(value) && !anywhere.has(value) ? value : ''
}

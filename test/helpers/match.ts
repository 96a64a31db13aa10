// A pattern whose lists are whole: t.match asks only that what it names is there, and passes when there is more than should be.
import type { Test } from 'tap'

/**
 * Like `t.match`: objects may have more than their pattern names, a RegExp tests, String, Number and other constructors name a type. But
 * a list must be as long as its pattern, in its order, and a value that is no pattern must be the same.
 */
export function matchAll(
  t: Test,
  found: unknown,
  pattern: unknown,
  message = 'matches, with nothing more in its lists',
): void {
  if (fits(found, pattern)) t.pass(message)
  // It differs, and this says where.
  else t.strictSame(found, pattern, message)
}

function fits(found: unknown, pattern: unknown): boolean {
  if (pattern instanceof RegExp) return pattern.test(String(found))
  if (typeof pattern === 'function') return found !== null && found !== undefined && Object(found) instanceof pattern
  if (Array.isArray(pattern))
    return Array.isArray(found) && found.length === pattern.length && pattern.every((one, i) => fits(found[i], one))
  if (pattern instanceof Date) return found instanceof Date && found.getTime() === pattern.getTime()
  if (typeof pattern === 'object' && pattern !== null) {
    if (typeof found !== 'object' || found === null) return false
    return Object.entries(pattern).every(([key, one]) => fits((found as Record<string, unknown>)[key], one))
  }
  return Object.is(found, pattern)
}

// An answer in time, or an error that says there was none.

/** There was no answer in time. */
export class Late extends Error {}

/** The answer of `work`, or after `ms` a Late; the work itself goes on, and what becomes of it then is nobody's concern. */
export function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Late(`no answer within ${Math.round(ms)} ms`)), ms).unref()
  return Promise.race([work, late.promise]).finally(() => clearTimeout(timer))
}

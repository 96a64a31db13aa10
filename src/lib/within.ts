// An answer in time, or an error that says there was none.

/** The answer of `work`, or after `ms` an Error; the work itself goes on, and what becomes of it then is nobody's concern. */
export function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${ms} ms`)), ms).unref()
  return Promise.race([work, late.promise]).finally(() => clearTimeout(timer))
}

// What an operator is told when gw cannot or will not do what was asked.

/** Why; the command line maps each to its exit code (`gw help exit-codes`). */
export type RefusalKind =
  | 'failure'
  | 'usage'
  | 'config'
  | 'unreachable'
  | 'refused'
  | 'missing'
  | 'conflict'
  | 'partial'

/**
 * An expected "no" to an operator: one sentence that says what is wrong, where, what is allowed and what to do next.
 * Shown without a stack trace. Clients of the data plane get a `Failure` instead.
 */
export class Refusal extends Error {
  readonly kind: RefusalKind
  constructor(kind: RefusalKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'Refusal'
    this.kind = kind
  }
}

// Which trace a request belongs to, and what its upstreams are told of it (W3C Trace Context). Only where `otel.endpoint` is set.

/** Ids are lower-case hex: 32 digits of a trace, 16 of a span. */
export interface Trace {
  readonly id: string
  /** of the request itself */
  readonly spanId: string
  /** the client's span; '' when it brought none */
  readonly parentId: string
  /** spans are made of it */
  readonly sampled: boolean
  /** as they are sent on */
  readonly flags: string
  /** the client's `tracestate`, '' when it brought none */
  readonly state: string
}

/** As they came, by lower-case name. */
export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>

/** Whoever makes spans: asked when a request begins and when an upstream is asked. */
export interface Tracing {
  begin(headers: Headers): Trace
  spanId(): string
}

/**
 * Headers for an upstream. What is not sampled has no spans of ours: then the client's context goes on as it came, and where
 * it brought none there is nothing to tell.
 */
export function traceHeaders({ id, parentId, flags, state }: Trace, spanId: string): Record<string, string> {
  const from = spanId || parentId
  if (from === '') return {}
  return { traceparent: `00-${id}-${from}-${flags}`, ...(state === '' ? {} : { tracestate: state }) }
}

// Spans of a finished request: one of the server, and one of a client for each attempt. A fold; their times are the outcome's.
import {
  type Context,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import type { IdGenerator } from '@opentelemetry/sdk-trace'
import type { AttemptRecord, Fold, Outcome } from '../../core/outcome.ts'
import { attemptAttributes, attemptError, operationOf, providerOf, requestError, serverAttributes } from './words.ts'

/** Gives the ids that upstreams were told of already. */
export class Given implements IdGenerator {
  traceId = ''
  spanId = ''

  generateTraceId(): string {
    return this.traceId
  }

  generateSpanId(): string {
    return this.spanId
  }
}

/** `known`: whether a model may be in the name of a span, which should be one of few. */
export function spansOf(tracer: Tracer, ids: Given, known: (model: string) => boolean): Fold {
  function attempt(o: Outcome, within: Context, tried: AttemptRecord, last: boolean): void {
    const named = { operation: operationOf(o), provider: providerOf(tried.platform), model: o.model }
    ids.spanId = tried.spanId
    const span = tracer.startSpan(
      known(o.model) ? `${named.operation} ${o.model}` : named.operation,
      {
        kind: SpanKind.CLIENT,
        startTime: o.at + tried.startedMs,
        attributes: attemptAttributes(o, tried, named, last),
      },
      within,
    )
    if (attemptError(tried) !== undefined) span.setStatus({ code: SpanStatusCode.ERROR })
    span.end(o.at + tried.endedMs)
  }

  return {
    ended(o) {
      const of = o.trace
      if (!of?.sampled) return
      ids.traceId = of.id
      ids.spanId = of.spanId
      const parent =
        of.parentId === ''
          ? ROOT_CONTEXT
          : trace.setSpanContext(ROOT_CONTEXT, {
              traceId: of.id,
              spanId: of.parentId,
              traceFlags: TraceFlags.SAMPLED,
              isRemote: true,
            })
      const span = tracer.startSpan(
        o.route === '' ? o.method : `${o.method} ${o.route}`,
        { kind: SpanKind.SERVER, startTime: o.at, attributes: serverAttributes(o) },
        parent,
      )
      const within = trace.setSpan(ROOT_CONTEXT, span)
      const answered = o.status < 400 || o.completion !== 'none'
      for (const [i, tried] of o.attempts.entries()) attempt(o, within, tried, answered && i === o.attempts.length - 1)
      // What a client did wrong is no error of a server.
      if (o.status >= 500 || (o.status < 400 && requestError(o) !== undefined))
        span.setStatus({ code: SpanStatusCode.ERROR })
      span.end(o.at + o.durationMs)
    },
  }
}

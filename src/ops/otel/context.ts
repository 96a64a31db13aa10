// Trace contexts that clients bring, read as the specification wants it; and those of who brings none.
import { createTraceState } from '@opentelemetry/api'
import { parseTraceParent } from '@opentelemetry/core'
import type { IdGenerator } from '@opentelemetry/sdk-trace'
import type { Headers, Tracing } from '../../core/trace.ts'

const SAMPLED = 1
// Of level 2: the trace's id is random. Ours are.
const RANDOM = 2

/**
 * What is invalid is ignored, and begins a trace of our own. Who brings a context decides whether it is sampled; of the others
 * `percent` are.
 */
export function contexts(ids: IdGenerator, percent: number, random: () => number): Tracing {
  return {
    begin(headers) {
      const spanId = ids.generateSpanId()
      const brought = parentOf(headers)
      if (!brought) {
        const sampled = random() * 100 < percent
        return { id: ids.generateTraceId(), spanId, parentId: '', sampled, flags: sampled ? '01' : '00', state: '' }
      }
      const { traceId: id, spanId: parentId, traceFlags } = brought
      return {
        id,
        spanId,
        parentId,
        sampled: (traceFlags & SAMPLED) !== 0,
        flags: `0${traceFlags & (SAMPLED | RANDOM)}`,
        state: stateOf(headers),
      }
    },
    spanId: () => ids.generateSpanId(),
  }
}

// A header that was sent twice is two values with a comma between, which no pattern of one matches.
function parentOf({ traceparent }: Headers): ReturnType<typeof parseTraceParent> {
  return typeof traceparent === 'string' ? parseTraceParent(traceparent) : null
}

function stateOf({ tracestate }: Headers): string {
  const text = typeof tracestate === 'string' ? tracestate : tracestate?.join(',')
  return text ? createTraceState(text).serialize() : ''
}

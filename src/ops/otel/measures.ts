// The metrics of OpenTelemetry's conventions for generative AI, of every request, traced or not. A fold.
import type { Meter } from '@opentelemetry/api'
import type { Fold } from '../../core/outcome.ts'
import { promptTokens } from '../../dialect/usage.ts'
import { attemptError, genAi, operationOf, providerOf, requestError } from './words.ts'

// As the conventions say.
const SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
const FIRST = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
const TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]

/** `known`: whether a model may be an attribute; the others are whatever a client sends. */
export function measuresOf(meter: Meter, known: (model: string) => boolean): Fold {
  const histogram = (name: string, unit: string, description: string, explicitBucketBoundaries: number[]) =>
    meter.createHistogram(name, { unit, description, advice: { explicitBucketBoundaries } })
  const duration = histogram(
    'gen_ai.client.operation.duration',
    's',
    'Duration of each attempt at a provider.',
    SECONDS,
  )
  const tokens = histogram('gen_ai.client.token.usage', '{token}', 'Tokens of the prompt and of the answer.', TOKENS)
  const served = histogram('gen_ai.server.request.duration', 's', 'Duration of requests to gw.', SECONDS)
  const first = histogram('gen_ai.server.time_to_first_token', 's', 'Time to the first token, for the client.', FIRST)
  return {
    ended(o) {
      if (!o.metered) return
      const operation = operationOf(o)
      const model = known(o.model) ? o.model : 'other'
      for (const tried of o.attempts) {
        const error = attemptError(tried)
        const named = genAi({ operation, provider: providerOf(tried.platform), model })
        if (error !== undefined) named['error.type'] = error
        duration.record((tried.endedMs - tried.startedMs) / 1000, named)
      }
      const named = genAi({ operation, provider: providerOf(o.attempts.at(-1)?.platform || o.platform), model })
      const input = promptTokens(o.usage)
      if (input > 0) tokens.record(input, { ...named, 'gen_ai.token.type': 'input' })
      if (o.usage.output > 0) tokens.record(o.usage.output, { ...named, 'gen_ai.token.type': 'output' })
      if (o.firstTokenMs > 0) first.record(o.firstTokenMs / 1000, named)
      const error = requestError(o)
      served.record(o.durationMs / 1000, error === undefined ? named : { ...named, 'error.type': error })
    },
  }
}

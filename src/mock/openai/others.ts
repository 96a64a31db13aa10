// What OpenAI serves beside answers: counts, embeddings, models.
import { whole } from '../bytes.ts'
import type { Call } from '../call.ts'
import type { Reply } from '../dialect.ts'
import { embeddingOf, inputsOf, noOutput } from '../embedding.ts'
import { fieldsOf } from '../proofs.ts'
import type { Step } from '../step.ts'
import { promptOf, usageOf } from '../usage.ts'
import { refusal } from './errors.ts'

/** Answers POST /v1/responses/input_tokens. */
export function inputTokens(call: Call, step: Step): Reply {
  const { input_tokens } = usageOf(step, call.body.length, 0)
  return whole({ object: 'response.input_tokens', input_tokens }, step)
}

/** Answers POST /v1/embeddings: as numbers, or as base64 of 32-bit floats. */
export function embeddings(call: Call, step: Step): Reply {
  const { input, encoding_format } = fieldsOf(call)
  const usage = noOutput(usageOf(step, call.body.length, 0))
  const data = inputsOf(input).map((text, index) => {
    const numbers = embeddingOf(text)
    const bytes = Buffer.from(Float32Array.from(numbers).buffer)
    return { object: 'embedding', index, embedding: encoding_format === 'base64' ? bytes.toString('base64') : numbers }
  })
  const prompt_tokens = promptOf(usage)
  const told = { prompt_tokens, total_tokens: prompt_tokens }
  return whole({ object: 'list', data, model: step.model ?? call.model, usage: told }, step, usage)
}

const all = ['gpt-6-astra', 'gpt-6-sol', 'gpt-6-luna', 'gpt-5.6-terra', 'text-embedding-3-small'].map(id => ({
  ...{ id, object: 'model', created: 1_790_000_000, owned_by: 'openai' },
}))

/** Answers GET /v1/models. */
export function models(_: Call, step: Step): Reply {
  return whole({ object: 'list', data: all }, step)
}

/** Answers GET /v1/models/{id}. */
export function model(call: Call, step: Step): Reply {
  const id = decodeURIComponent(call.path.slice('/v1/models/'.length))
  const found = all.find(one => one.id === id)
  return found ? whole(found, step) : refusal(call, 404, `The model '${id}' does not exist`)
}

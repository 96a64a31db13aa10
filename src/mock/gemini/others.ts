// What Gemini serves beside answers: embeddings and models.
import { whole } from '../bytes.ts'
import type { Call } from '../call.ts'
import type { Reply } from '../dialect.ts'
import { embeddingOf, noOutput } from '../embedding.ts'
import { fieldsOf, objectsOf } from '../proofs.ts'
import type { Step } from '../step.ts'
import { usageOf } from '../usage.ts'
import { refusal } from './errors.ts'

/** Answers :embedContent and :batchEmbedContents. */
export function embed(call: Call, step: Step): Reply {
  const body = fieldsOf(call)
  const usage = noOutput(usageOf(step, call.body.length, 0))
  const usageMetadata = { promptTokenCount: usage.input_tokens, totalTokenCount: usage.input_tokens }
  const vector = (content: unknown) => ({ values: embeddingOf(JSON.stringify(content ?? '')) })
  const said = call.path.endsWith(':embedContent')
    ? { embedding: vector(body['content']) }
    : { embeddings: objectsOf(body['requests']).map(({ content }) => vector(content)) }
  return whole({ ...said, usageMetadata }, step, usage)
}

const all = ['gemini-3.8-flash', 'gemini-3.6-flash', 'gemini-3.1-pro-preview', 'gemini-embedding-001'].map(id => ({
  ...{ name: `models/${id}`, version: '001', displayName: id, inputTokenLimit: 1_048_576, outputTokenLimit: 65_536 },
  supportedGenerationMethods: id.includes('embedding') ? ['embedContent'] : ['generateContent', 'countTokens'],
}))

/** Answers GET /v1beta/models, `pageSize` and `pageToken` as the vendor has them, and GET /v1beta/models/{id}. */
export function models(call: Call, step: Step, id: string | undefined): Reply {
  if (id !== undefined) {
    const found = all.find(({ name }) => name === `models/${decodeURIComponent(id)}`)
    return found ? whole(found, step) : refusal(call, 404, `models/${id} is not found for API version v1beta.`)
  }
  const query = new URLSearchParams(call.query)
  const from = Number(query.get('pageToken') ?? 0)
  const to = from + Number(query.get('pageSize') ?? 50)
  return whole({ models: all.slice(from, to), ...(to < all.length && { nextPageToken: String(to) }) }, step)
}

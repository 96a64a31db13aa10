// Gemini: which request is which.
import { whole } from '../bytes.ts'
import type { Dialect } from '../dialect.ts'
import { usageOf } from '../usage.ts'
import { outOfTurn, refusal } from './errors.ts'
import { generate } from './generate.ts'
import { embed, models } from './others.ts'

// Version, model, verb; the model may be percent-encoded and have slashes.
const route =
  /^\/v1(?:beta)?\/models\/(.+):(generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents)$/
const list = /^\/v1(?:beta)?\/models(?:\/(.+))?$/

export const gemini: Dialect = {
  // The real one has none.
  idHeader: null,
  newId: n => `gemini-${n}`,

  owns: ({ path, headers }) =>
    path.startsWith('/v1beta/') || route.test(path) || (list.test(path) && headers['x-goog-api-key'] !== undefined),

  read({ path }) {
    const [, model = '', verb] = route.exec(path) ?? []
    return { model: decoded(model), stream: verb === 'streamGenerateContent' }
  },

  answer(call, step) {
    const early = outOfTurn(call, step)
    if (early) return early
    const [, , verb] = route.exec(call.path) ?? []
    if (call.method === 'GET' && list.test(call.path)) return models(call, step, list.exec(call.path)?.[1])
    if (verb === undefined || call.method !== 'POST') return refusal(call, 404, `Not found: ${call.path}`)
    if (verb === 'countTokens') return whole({ totalTokens: usageOf(step, call.body.length, 0).input_tokens }, step)
    if (verb.endsWith('Contents') || verb === 'embedContent') return embed(call, step)
    return generate(call, step)
  },
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

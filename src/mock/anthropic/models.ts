// The models endpoint of Anthropic Messages.
import { whole } from '../bytes.ts'
import type { Call } from '../call.ts'
import type { Reply } from '../dialect.ts'
import type { Step } from '../step.ts'
import { refusal } from './errors.ts'

const all = [
  ['claude-fable-5-2', 'Claude Fable 5.2', '2026-10-21'],
  ['claude-opus-5-5', 'Claude Opus 5.5', '2026-09-15'],
  ['claude-sonnet-5-5', 'Claude Sonnet 5.5', '2026-09-15'],
  ['claude-haiku-5-5', 'Claude Haiku 5.5', '2026-08-04'],
  ['claude-opus-4-8', 'Claude Opus 4.8', '2026-05-12'],
].map(([id, display_name, day]) => ({ type: 'model', id, display_name, created_at: `${day}T00:00:00Z` }))

/** Answers GET /v1/models: newest first, `limit` 1–1000 (20), `after_id` or `before_id`. */
export function models(call: Call, step: Step): Reply {
  const query = new URLSearchParams(call.query)
  const limit = Number(query.get('limit') ?? 20)
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
    return refusal(call, 400, 'limit: Input should be greater than or equal to 1 and less than or equal to 1000')
  }
  const after = query.get('after_id')
  const before = query.get('before_id')
  for (const id of [after, before]) {
    if (id !== null && !all.some(model => model.id === id)) return refusal(call, 400, `Model not found: ${id}`)
  }
  const from = after === null ? 0 : placeOf(after) + 1
  const to = before === null ? all.length : placeOf(before)
  const data = before === null ? all.slice(from, from + limit) : all.slice(from, to).slice(-limit)
  const page = {
    data,
    has_more: data.length < to - from,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
  }
  return whole(page, step)
}

/** Answers GET /v1/models/{id}. */
export function model(call: Call, step: Step): Reply {
  const id = decodeURIComponent(call.path.slice('/v1/models/'.length))
  const found = all[placeOf(id)]
  return found ? whole(found, step) : refusal(call, 404, `model: ${id}`)
}

function placeOf(id: string): number {
  return all.findIndex(model => model.id === id)
}

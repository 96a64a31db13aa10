// Models as OpenAI's dialects list them.

/** Nobody knows when ours were made: the same day for all, as Unix seconds. */
const CREATED = 1704067200

export const openAiModel = (id: string) => ({ id, object: 'model', created: CREATED, owned_by: 'gw' })

export const openAiModels = (names: readonly string[]) => ({ object: 'list', data: names.map(openAiModel) })

// What a Gemini request says in its path and query: model, action, and how a stream is framed.

export interface Place {
  /** as the client calls it, without `models/`; '' where the path names none */
  model: string
  /** `generateContent`, `streamGenerateContent` … */
  action: string
  /** its stream is wanted as server-sent events, and not as one JSON array */
  sse: boolean
}

/** Reads `/v1beta/models/{model}:action?query`, and with a slash for the colon. The model may be percent-encoded, and have slashes in it. */
export function placeOf(path: string): Place {
  const mark = path.indexOf('?')
  const query = new URLSearchParams(mark === -1 ? '' : path.slice(mark + 1))
  const route = mark === -1 ? path : path.slice(0, mark)
  const from = route.indexOf('/models/')
  const named = from === -1 ? '' : route.slice(from + '/models/'.length)
  const colon = named.lastIndexOf(':')
  const cut = colon === -1 ? named.lastIndexOf('/') : colon
  const sse = (query.get('alt') ?? query.get('$alt') ?? '').toLowerCase() === 'sse'
  return cut === -1
    ? { model: decoded(named), action: '', sse }
    : { model: decoded(named.slice(0, cut)), action: named.slice(cut + 1), sse }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text // a per cent sign of its own
  }
}

// Text in pieces, as a model would let it go.

/** The deltas of a text: a list as it is, a string at its spaces in at most four. Joined again they are the text. */
export function words(text: string | string[]): string[] {
  if (Array.isArray(text)) return [...text]
  if (text === '') return []
  const single = text.match(/\s*\S+\s*$|\s*\S+/g) ?? [text]
  const each = Math.ceil(single.length / 4)
  return Array.from({ length: Math.ceil(single.length / each) }, (_, nth) =>
    single.slice(nth * each, (nth + 1) * each).join(''),
  )
}

/** A text in so many pieces of about one length, never cutting a character. */
export function cut(text: string, pieces: number): string[] {
  const characters = Array.from(text)
  const each = Math.max(1, Math.ceil(characters.length / pieces))
  const all: string[] = []
  for (let at = 0; at < characters.length; at += each) all.push(characters.slice(at, at + each).join(''))
  return all
}

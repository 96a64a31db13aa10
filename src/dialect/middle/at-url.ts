// Media that a client names by URL, for upstreams that must be given the bytes: which they are, and what came of fetching them.
import type { Ask, Media, Part } from './form.ts'

export type AtUrl = Media & { at: { url: string } }

/** What was fetched; or why it was not, in words that follow the name of its field. */
export type Fetched = { mime: string; base64: string } | { why: string }

/** By which `Target.fetched` knows a medium: what is good as an image may be none as a document. */
export const keyOfUrl = ({ kind, at }: AtUrl): string => `${kind} ${at.url}`

export const isAtUrl = (part: Part): part is AtUrl => part.type === 'media' && 'url' in part.at

/** Those of a conversation and of its tools' results that `reads` does not take as they are, each once. */
export function mediaAtUrls({ turns }: Ask, reads: (url: string) => boolean): readonly AtUrl[] {
  let found: Map<string, AtUrl> | undefined
  const look = (parts: readonly Part[]) => {
    for (const part of parts)
      if (part.type === 'result') look(part.parts)
      else if (isAtUrl(part) && !reads(part.at.url)) (found ??= new Map()).set(keyOfUrl(part), part)
  }
  for (const { parts } of turns) look(parts)
  return found ? [...found.values()] : none
}
const none: readonly AtUrl[] = []

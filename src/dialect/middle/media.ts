// What a medium is, by a name that vendors take: clients write others, which OpenAI alone lets pass.
import type { Media } from './form.ts'
import { words } from './read.ts'

const aliases = words<string>({ 'image/jpg': 'image/jpeg', 'image/pjpeg': 'image/jpeg', 'image/x-png': 'image/png' })
/** Said of anything, and so of nothing. */
const vague = new Set(['', 'image/*', 'application/octet-stream', 'binary/octet-stream'])

const beginnings: readonly (readonly [string, string])[] = [
  ['/9j/', 'image/jpeg'],
  ['R0lG', 'image/gif'],
  ['UklG', 'image/webp'],
]

/** The type of a medium whose bytes are here; undefined: nobody said it, and it is no image, which tells it itself. */
export function mimeOf({ kind, mime = '' }: Media, base64: string): string | undefined {
  const said = mime.toLowerCase()
  if (kind === 'image' && vague.has(said))
    return beginnings.find(([begins]) => base64.startsWith(begins))?.[1] ?? 'image/png'
  return aliases[said] ?? (mime || undefined)
}

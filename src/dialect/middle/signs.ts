// What fetched bytes are: what their server says, and the signs that files begin with, which know better.
import { isUtf8 } from 'node:buffer'
import type { Media } from './form.ts'

type Kind = Media['kind']

const families: Record<Kind, RegExp> = {
  image: /^image\//,
  audio: /^audio\//,
  video: /^video\//,
  document: /^(?:application\/pdf$|text\/)/,
}
const aliases: Record<string, string> = { 'application/x-pdf': 'application/pdf' }
// Said of anything, and so of nothing.
const vague = new Set(['', 'application/octet-stream', 'binary/octet-stream', 'application/x-download'])

export const isOf = (kind: Kind, mime: string): boolean => families[kind].test(mime)

/** The type that a header says, in lower case and without parameters; '': it says nothing. */
export function saidType(header = ''): string {
  const said = header.split(';')[0]!.trim().toLowerCase()
  return vague.has(said) ? '' : (aliases[said] ?? said)
}

/** The type of bytes that should be of this kind; undefined: they are not, or nothing tells what they are. */
export function typeOf(kind: Kind, said: string, bytes: Buffer): string | undefined {
  if (bytes.length === 0) return undefined
  const sign = signOf(bytes)
  if (sign !== undefined) return isOf(kind, sign) ? sign : undefined
  // Every image and PDF that a model takes has a sign; what calls itself one without is a page that says what went wrong.
  if (kind === 'image' || said === '' || said === 'application/pdf') return undefined
  return kind !== 'document' || isUtf8(bytes) ? said : undefined
}

const brands: readonly (readonly [RegExp, string])[] = [
  [/^hei[cx]|^hev[cx]/, 'image/heic'],
  [/^hei[ms]|^mif1|^msf1/, 'image/heif'],
  [/^avi[fs]/, 'image/avif'],
  [/^qt/, 'video/quicktime'],
  [/^M4A/, 'audio/mp4'],
  [/^3g/, 'video/3gpp'],
  [/^isom|^iso\d|^mp4|^avc1|^M4V|^dash/, 'video/mp4'],
]

function signOf(bytes: Buffer): string | undefined {
  const begins = bytes.toString('latin1', 0, 16)
  if (begins.startsWith('\x89PNG\r\n\x1a\n')) return 'image/png'
  if (begins.startsWith('\xff\xd8\xff')) return 'image/jpeg'
  if (/^GIF8[79]a/.test(begins)) return 'image/gif'
  if (/^RIFF[\s\S]{4}WEBP/.test(begins)) return 'image/webp'
  if (/^RIFF[\s\S]{4}WAVE/.test(begins)) return 'audio/wav'
  if (begins.startsWith('%PDF-')) return 'application/pdf'
  if (begins.slice(4, 8) !== 'ftyp') return undefined
  return brands.find(([brand]) => brand.test(begins.slice(8, 12)))?.[1]
}

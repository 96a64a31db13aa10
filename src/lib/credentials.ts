// What looks like a credential, in text, in paths and among a query's parameters: it is never logged, told or sent on.

// Shorter than this is no credential of any kind that we know.
const SHORTEST = 16

// Vendors' keys by how they begin. Lengths are bounded where a search could start again and again: a path may be long.
const shapes = [
  /\b(sk-(?:[a-z]{2,8}\d{0,2}-){0,2})[A-Za-z0-9_-]{12,}/gi,
  /\b(AIza|ya29\.|gsk_|xai-|AKIA)[A-Za-z0-9_-]{12,}/g,
  /\b(eyJ)[A-Za-z0-9_-]{8,512}\.[A-Za-z0-9_.-]{8,}/g,
]
// Ours: a prefix of the operator's (`keys.prefix`) and 64 hexadecimal digits.
const words = /[A-Za-z0-9_-]{65,}/g
const ours = /.[0-9a-f]{64}/

// Most text has none of them, and looking is cheaper than replacing.
const beginnings = /sk-|AIza|ya29\.|gsk_|xai-|AKIA|eyJ/i

/** The text with `***` in place of each credential, after what tells its kind. */
export function mask(text: string): string {
  let masked = text
  if (beginnings.test(text)) for (const shape of shapes) masked = masked.replace(shape, '$1***')
  return text.length < 65 ? masked : masked.replace(words, word => (ours.test(word) ? '***' : word))
}

const parameters = /\b([\w-]{0,24}(?:key|token|secret|password)|auth|code|state)=[^&\s"']+/gi

/** Free text, an upstream's error say, without what looks like a key or a secret parameter (spec/domain.md §12.12). */
export function scrub(text: string): string {
  return mask(text.replace(parameters, '$1=***'))
}

/** Whether there is a credential in the text, or was before it was masked. */
export function holdsCredential(text: string): boolean {
  return text.includes('***') || mask(text) !== text
}

/** A path as it may be told: without credentials, escaped ones included. */
export function maskPath(path: string): string {
  if (path.length < SHORTEST && !path.includes('=')) return path
  const plain = path.includes('%') ? unescaped(path) : path
  const masked = scrub(plain)
  return masked === plain ? path : masked
}

/** Whether a query's parameter (`name=value`, escaped) carries a credential, by its name or by its value. */
export function carriesCredential(pair: string): boolean {
  const plain = unescaped(pair)
  for (const name of new URLSearchParams(plain).keys()) if (namesCredential(name)) return true
  return holdsCredential(plain)
}

// `key`, `Key`, `apikey`, `x-goog-api-key`, `access_token`, `auth` …
function namesCredential(name: string): boolean {
  return /(key|token|secret|password|passwd|credentials?|auth|authorization|bearer)$/.test(
    name.toLowerCase().replaceAll(/[^a-z]/g, ''),
  )
}

// Twice, as somebody behind us might; what is no valid escape stays as it is.
function unescaped(text: string): string {
  const once = (all: string) =>
    all.replaceAll(/%[0-7][0-9a-f]/gi, code => String.fromCharCode(parseInt(code.slice(1), 16)))
  return once(once(text))
}

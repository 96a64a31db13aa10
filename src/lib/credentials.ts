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

const parameters =
  /\b([\w-]{0,24}(?:key|token|secret|passw(?:or)?d|credential|signature)|auth|sig|code|state)=[^&\s"']+/gi

// A header, or what says which it is.
const header =
  /\b((?:proxy-)?authorization|(?:x-)?(?:goog-)?api-key|(?:set-)?cookie)(\\?["']?\s*:\s*\\?["']?(?:(?:bearer|basic|digest)\s+)?)[^\s"'\\,;]+(?:;\s*[^\s"'\\,;]+)*/gi
const space = /\s/
const bearer = /\b(bearer\s+)(?=[^\s"']{0,64}\d)[\w.~+/=-]{8,}/gi

// Names in JSON: `"client_secret": "…"`, and the same in JSON that is a string in JSON.
const named =
  '([\\w-]{0,40}(?:authorization|api[-_]?key|token|passw(?:or)?d|secret|credential|cookie|private[-_]?key)[\\w-]{0,20}'
const fields = new RegExp(`"${named}"\\s*:\\s*")(?:[^"\\\\]|\\\\.)+`, 'gis')
const quotedFields = new RegExp(`\\\\"${named}\\\\"\\s*:\\s*\\\\")(?:(?!\\\\").)+`, 'gis')

// The login in a URL, and the part of a chat's hook that is one.
const login = /\b([a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/?#@"']{1,512}@/gi
const hook =
  /(\/bot)\d{5,20}:[\w-]{20,}|(hooks\.slack\.com\/(?:services|workflows|triggers)\/|\/open-apis\/bot\/v2\/hook\/)[\w/-]+/gi

const withoutParameters = (text: string): string => (text.includes('=') ? text.replace(parameters, '$1=***') : text)

/** Free text, an upstream's error say, without what looks like a key or a secret parameter, header or field (spec/domain.md §12.12). */
export function scrub(text: string): string {
  let clean = withoutParameters(text)
  if (clean.includes(':')) {
    clean = clean.replace(header, '$1$2***')
    if (clean.includes('"')) clean = clean.replace(fields, '"$1***').replace(quotedFields, '\\"$1***')
    if (clean.includes('/')) clean = clean.replace(login, '$1***@').replace(hook, '$1$2***')
  }
  if (space.test(clean)) clean = clean.replace(bearer, '$1***')
  return mask(clean)
}

const EXCERPT_BYTES = 2048

/** The beginning of what an upstream answered, fit to be kept: at most 2 KB, redacted before it is cut. */
export function excerpt(text: string): string {
  // What is cut off may be half of a key, which nothing would know as one.
  const begins = text.length > 2 * EXCERPT_BYTES ? text.slice(0, 2 * EXCERPT_BYTES).replace(/\S{1,1024}$/, '') : text
  const clean = scrub(begins)
    .replaceAll(/[^\P{C}\n\t]/gu, ' ')
    .trim()
  // By bytes, and as a string of its own: a slice would keep all that it was cut from alive.
  const bytes = Buffer.from(clean)
  if (bytes.length <= EXCERPT_BYTES) return bytes.toString()
  let end = EXCERPT_BYTES - 3
  while ((bytes[end]! & 0xc0) === 0x80) end--
  return `${bytes.toString('utf8', 0, end)}…`
}

/** Whether there is a credential in the text, or was before it was masked. */
export function holdsCredential(text: string): boolean {
  return text.includes('***') || mask(text) !== text
}

/** A path as it may be told: without credentials, escaped ones included. */
export function maskPath(path: string): string {
  if (path.length < SHORTEST && !path.includes('=')) return path
  const plain = path.includes('%') ? unescaped(path) : path
  const masked = mask(withoutParameters(plain))
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

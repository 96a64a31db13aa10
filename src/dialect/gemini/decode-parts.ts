// The parts of Gemini's contents in parts of the middle form.
import { parseExact } from '../json/exact.ts'
import type { Held, Json, Media, Opaque, Part, Result, Text, Thought } from '../middle/form.ts'
import { type Fields, fieldsIn, isFields, listIn, textIn } from '../middle/read.ts'
import { beside, camel, exact } from './own.ts'
import { type Proof, proofOf } from './proofs.ts'

export function decodeParts(parts: readonly unknown[], at: string, held: Held[]): Part[] {
  const out: Part[] = []
  for (const [n, one] of parts.entries()) {
    const part = camel(fieldsIn(one, `${at}.${n}`) ?? {})
    const proof = proofOf(part['thoughtSignature'])
    const decoded = partOf(part, `${at}.${n}`, proof, held)
    if (proof?.foreign) reasoned(out, proof)
    if (decoded) out.push(decoded)
  }
  return out
}

/** Reasoning that another vendor's proof at a later part belongs to: before the rest, as that vendor has it. */
function reasoned(out: Part[], { seal, text, redacted }: Proof): void {
  const known = out.find((part): part is Thought => part.type === 'thought' && !part.seal && part.text === text)
  if (known) {
    if (seal) known.seal = seal
    return
  }
  const thought: Thought = { type: 'thought', text, ...(redacted ? { redacted } : {}), ...(seal ? { seal } : {}) }
  const first = out.findIndex(part => part.type !== 'thought')
  // Of several calls each may have its own: only what precedes all of them comes first.
  if (first === -1 || out.some(part => part.type === 'call')) out.push(thought)
  else out.splice(first, 0, thought)
}

function partOf(part: Fields, at: string, proof: Proof | undefined, held: Held[]): Part | undefined {
  const { text, thought, thoughtSignature: _, ...said } = part
  const sealed = proof?.seal?.value && !proof.foreign ? { seal: proof.seal } : {}
  if (text !== undefined || Object.keys(said).length === 0) {
    const words = textIn(text, `${at}.text`) ?? ''
    if (thought === true)
      return words === '' && !('seal' in sealed) ? undefined : { type: 'thought', text: words, ...sealed }
    if (words === '' && !('seal' in sealed)) return undefined
    return { type: 'text', text: words, ...sealed, ...beside(said) }
  }
  const { functionCall, functionResponse, inlineData, fileData, ...rest } = said
  if (functionCall !== undefined) {
    const { id, name, args } = camel(fieldsIn(functionCall, `${at}.functionCall`) ?? {})
    return {
      type: 'call',
      id: textIn(id, `${at}.functionCall.id`) ?? '',
      name: textIn(name, `${at}.functionCall.name`) ?? '',
      input: { json: (typeof args === 'string' && args.trim() !== '' ? args : '{}') as Json },
      ...sealed,
      ...beside(rest),
    }
  }
  if (functionResponse !== undefined)
    return { ...resultOf(fieldsIn(functionResponse, `${at}.functionResponse`) ?? {}, at, held), ...beside(rest) }
  const media = mediaOf({ inlineData, fileData }, at, held)
  if (media) return { ...media, ...beside(rest) }
  const kind = Object.keys(said)[0]!
  return { type: 'opaque', dialect: 'gemini', kind, json: exact(part) }
}

/** Undefined where the part has none. */
function mediaOf({ inlineData, fileData }: Fields, at: string, held: Held[]): Media | undefined {
  if (isFields(inlineData)) {
    const { mimeType, data, displayName } = camel(inlineData)
    const mime = textIn(mimeType, `${at}.inlineData.mimeType`)
    return medium(mime, { base64: textIn(data, `${at}.inlineData.data`) ?? '' }, displayName)
  }
  if (!isFields(fileData)) return undefined
  const { mimeType, fileUri, displayName } = camel(fileData)
  const url = textIn(fileUri, `${at}.fileData.fileUri`) ?? ''
  const mime = textIn(mimeType, `${at}.fileData.mimeType`)
  if (!isStored(url)) return medium(mime, { url }, displayName)
  held.push({ what: 'file', param: `${at.replace(/\.\d+/g, '')}.fileData.fileUri`, id: url })
  return medium(mime, { file: url }, displayName)
}

/** A file that was given to Google: its address is good for nobody else. */
export const isStored = (url: string) =>
  /^(?:gs:|https:\/\/generativelanguage\.googleapis\.com\/)/.test(url) || !/^https?:/.test(url)

function medium(mime: string | undefined, at: Media['at'], title: unknown): Media {
  return {
    type: 'media',
    kind: kindOf(mime, 'url' in at ? at.url : ''),
    ...(mime ? { mime } : {}),
    at,
    ...(typeof title === 'string' && title !== '' ? { title } : {}),
  }
}

const kinds = new Set(['image', 'audio', 'video'])
export function kindOf(mime: string | undefined, url = ''): Media['kind'] {
  const kind = mime?.split('/')[0]?.toLowerCase() ?? ''
  if (kinds.has(kind)) return kind as Media['kind']
  if (mime) return 'document'
  if (/\.(?:png|jpe?g|gif|webp|heic|heif)(?:$|\?)/i.test(url)) return 'image'
  return /(?:youtube\.com|youtu\.be)\//.test(url) ? 'video' : 'document'
}

function resultOf(said: Fields, at: string, held: Held[]): Result {
  const { id, name, response, parts, ...rest } = camel(said)
  const media = (listIn(parts, `${at}.functionResponse.parts`) ?? []).flatMap((one, n) => {
    const here = `${at}.functionResponse.parts.${n}`
    return mediaOf(camel(fieldsIn(one, here) ?? {}), here, held) ?? []
  })
  const called = textIn(name, `${at}.functionResponse.name`)
  const { told, error } = toldOf(typeof response === 'string' ? response : '{}')
  return {
    type: 'result',
    callId: textIn(id, `${at}.functionResponse.id`) ?? '',
    ...(called ? { name: called } : {}),
    parts: [...told, ...media],
    error,
    ...beside(rest),
  }
}

const outputs = new Set(['output', 'error'])

/** What a function gave: `output` and `error` are the documented keys, any other object is taken whole. */
function toldOf(json: string): { told: (Text | Opaque)[]; error: boolean } {
  const whole: Opaque = { type: 'opaque', dialect: 'gemini', kind: 'object', json: json as Json }
  let object: unknown
  try {
    object = parseExact(json, outputs)
  } catch {
    return { told: [{ type: 'text', text: json }], error: false }
  }
  if (!isFields(object)) return { told: [{ type: 'text', text: json }], error: false }
  const { output, error, ...rest } = object as Record<string, string | undefined>
  const failed = error !== undefined && error !== 'null' && error !== '""'
  const one = failed ? error : output
  if (one === undefined || Object.keys(rest).length > 0) return { told: [whole], error: failed }
  return { told: [plain(one as Json)], error: failed }
}

function plain(json: Json): Text | Opaque {
  if (json.startsWith('"')) return { type: 'text', text: JSON.parse(json) }
  if (json.startsWith('{')) return { type: 'opaque', dialect: 'gemini', kind: 'object', json }
  return { type: 'text', text: json }
}

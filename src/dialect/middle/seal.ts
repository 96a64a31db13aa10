// Seals: a vendor's proof of reasoning in an envelope of ours that says who issued it, for clients of other dialects (design/middle-form.md, Seals).
import { createHash } from 'node:crypto'
import type { Issuer, Seal } from './form.ts'

const letters = { anthropic: 'a', openai: 'o', gemini: 'g', antigravity: 'v' } as const
const platforms = new Map(Object.entries(letters).map(([platform, letter]) => [letter, platform as Issuer['platform']]))

/** In place of a call's id: the proof is all there is of the reasoning. */
export const REDACTED = 'redacted'

/** What an envelope holds. */
export interface Enclosed {
  issuer: Issuer
  /** the vendor's own proof; undefined when it gave none */
  value: string | undefined
  /** the reasoning that it proves, where a dialect has no place for it beside */
  text: string
  /** the call that it was given with; '' for none */
  callId: string
}

/** `gw1.<platform>.<scope>.<base64url of JSON>.<check>`: letters, digits, `.`, `-` and `_` only. */
export function enclose({ issuer, value, text, callId }: Enclosed): string {
  const inside = {
    m: issuer.model,
    ...(value === undefined ? {} : { s: value }),
    ...(text === '' ? {} : { t: text }),
    ...(callId === '' ? {} : { k: callId }),
  }
  const said = `gw1.${letters[issuer.platform]}.${issuer.scope}.${Buffer.from(JSON.stringify(inside)).toString('base64url')}`
  return `${said}.${checkOf(said)}`
}

const shape = /^gw1\.([aogv])\.([0-9a-f]{8})\.([A-Za-z0-9_-]+)\.([0-9a-f]{4})$/
// The same once more in base64, as dialects have it whose field is of bytes.
const inBase64 = /^Z3cxL[A-Za-z0-9+/_-]+={0,2}$/

/** What one of ours holds; undefined for anything else, also one of ours that was cut or changed. */
export function disclose(text: string): Enclosed | undefined {
  const plain = inBase64.test(text) ? Buffer.from(text, 'base64').toString('latin1') : text
  const [, letter, scope, coded, check] = shape.exec(plain) ?? []
  if (!letter || checkOf(plain.slice(0, -5)) !== check) return undefined
  try {
    const { m, s, t, k } = JSON.parse(Buffer.from(coded!, 'base64url').toString('utf8'))
    const issuer = { platform: platforms.get(letter as 'a')!, scope: scope!, model: String(m) }
    return { issuer, value: typeof s === 'string' ? s : undefined, text: String(t ?? ''), callId: String(k ?? '') }
  } catch {
    return undefined
  }
}

/** Begins like one of ours, whole or not: never to be taken for a vendor's. */
export function isOurs(text: string): boolean {
  return text.startsWith('gw1.') || text.startsWith('Z3cxL')
}

/** The same in standard base64. */
export function inBytes(envelope: string): string {
  return Buffer.from(envelope).toString('base64')
}

/** Whether a proof is known to be good for whoever is asked now: issued by it, for a model of the same family. */
export function isGoodFor(seal: Seal, target: Issuer): boolean {
  const { issuer } = seal
  if (!issuer) return false
  return (
    issuer.platform === target.platform &&
    issuer.scope === target.scope &&
    familyOf(issuer.model) === familyOf(target.model)
  )
}

/** A model without its date and path: `claude-opus-4-5-20251101` and `claude-opus-4-5` are one. */
function familyOf(model: string): string {
  return model.replace(/^.*\//, '').replace(/[-@](?:20\d{6}|latest|preview(?:-.*)?)$/, '')
}

/** By what a proof is kept that belongs to a text. */
export function keyOfText(text: string): string {
  return `t:${createHash('sha256').update(text).digest('base64url').slice(0, 22)}`
}

const checkOf = (said: string) => createHash('sha256').update(said).digest('hex').slice(0, 4)

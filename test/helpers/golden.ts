// The golden cases through the codecs alone: what an upstream would be asked and a client told, without a gateway between.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { DialectName } from '../../src/dialect/dialect.ts'
import type { Asking, Kept, Target } from '../../src/dialect/middle/codec.ts'
import { factsOf, type Vendor } from '../../src/dialect/middle/models.ts'
import { Notes } from '../../src/dialect/middle/notes.ts'
import { disclose } from '../../src/dialect/middle/seal.ts'
import { Translation } from '../../src/dialect/middle/translation.ts'
import { dialectNamed } from '../../src/dialect/table.ts'
import { toFailure } from '../../src/lib/failure.ts'
// @ts-expect-error it has no types
import * as kit from '../fixtures/golden/kit.mjs'

// biome-ignore lint/suspicious/noExplicitAny: whatever a case holds
type Json = Record<string, any>
export interface Case extends Json {
  id: string
  client: 'anthropic' | 'chat' | 'responses' | 'gemini'
  platform: Vendor | 'antigravity'
  upstreamDialect: string
}

const fixtures = path.join(import.meta.dirname, '../fixtures')
const casesIn = (folder: string): Case[] =>
  readdirSync(path.join(fixtures, folder))
    .filter(name => name.endsWith('.json'))
    .sort()
    .map(name => JSON.parse(readFileSync(path.join(fixtures, folder, name), 'utf8')))
/** By folder: those given to us, and those that we wrote from the same papers for the cells and details they leave out. */
export const folders = { golden: casesIn('golden'), 'golden-more': casesIn('golden-more') }
export const cases = Object.values(folders).flat()

const names: Record<string, DialectName> = { anthropic: 'messages', v1internal: 'gemini' }
const codecOf = (name: string) => dialectNamed(names[name] ?? (name as DialectName)).codec!

/** What is wrong with a case, in lines; none: it passes. */
export function check(c: Case): string[] {
  const wrong: string[] = []
  const bag: Json = {}
  const kept = new Map<string, Kept>()
  const client = codecOf(c.client)
  const upstream = codecOf(c.upstreamDialect)
  const internal = c.upstreamDialect === 'v1internal'
  for (const [n, turn] of (kit.turnsOf(c) as Json[]).entries()) {
    const w = (...lines: string[]) => wrong.push(...lines.map(line => `turn ${n + 1}: ${line}`))
    const bound: Json = {}
    const { body, path } = turn['request']
    let translation: Translation | undefined
    let asking: Asking
    let notes = new Notes()
    const counts = /count_?tokens$/i.test(path)
    try {
      const said = Buffer.from(JSON.stringify(kit.use(body, bag)))
      const ask = (counts ? client.counting! : client).decodeAsk(said, path)
      const facts = factsOf(c.platform === 'antigravity' ? 'gemini' : c.platform, ask.model)
      const target: Target = {
        model: ask.model,
        facts,
        own: false,
        internal,
        issuer: { platform: c.platform, scope: '0a1b2c3d', model: ask.model },
        kept: key => kept.get(key),
        seals: true,
        settings: { autoCache: true },
      }
      if (counts) asking = upstream.counting!.encodeAsk(ask, target, notes)
      else {
        const keep = (key: string, envelope: string) => {
          const { issuer, value, text } = disclose(envelope)!
          kept.set(key, { seal: { value: value ?? '', issuer }, text })
        }
        const now = 1764300000000
        translation = new Translation({ client, upstream, ask, model: ask.model, promptTokens: 10, now, keep, target })
        asking = translation.asking
        notes = translation.notes
      }
    } catch (error) {
      const failure = toFailure(error)
      if (failure.code === 'INTERNAL_ERROR') throw error
      const told = JSON.parse(
        dialectNamed(names[c.client] ?? (c.client as DialectName))
          .error(failure, 'id')
          .toString(),
      )
      if (turn['upstreamRequest'] !== null) w(`refused: ${failure.message}`)
      else w(...kit.match(turn['clientResponse'].body, told, { bound }))
      continue
    }
    const want = turn['upstreamRequest']
    if (want === null) {
      w('must be refused')
      continue
    }
    if (!internal && want.path && asking.path + asking.query !== want.path)
      w(`path ${asking.path + asking.query}, expected ${want.path}`)
    for (const [name, value] of Object.entries(want.headers ?? {}))
      w(...kit.match(value, asking.headers[name], {}, name))
    const ignore = new Set<string>(
      (want.ignore ?? []).map((one: string) => (internal ? one.replace(/^request\./, '') : one)),
    )
    const expected = kit.use(internal ? want.body.request : want.body, bag)
    w(
      ...kit
        .match(expected, JSON.parse(asking.body), { exact: true, ignore, bound })
        .map((one: string) => `upstream ${one}`),
    )
    for (const text of want.mustNotContain ?? []) if (asking.body.includes(text)) w(`upstream body contains ${text}`)
    for (const text of want.mustContain ?? []) if (!asking.body.includes(text)) w(`upstream body lacks ${text}`)
    const dropped = [...(c['dropped'] ?? [])].sort().join(', ')
    if (notes.header !== dropped) w(`dropped "${notes.header}", expected "${dropped}"`)
    let text: string
    if (!translation) {
      const { body } = turn['upstreamResponse']
      text = client.counting!.write(upstream.counting!.read(Buffer.from(JSON.stringify(body)))!)
    } else if (turn['upstreamStream']) {
      const events = kit.fill(turn['upstreamStream'])
      const plain = internal ? events.map((e: Json) => ({ ...e, data: e['data'].response ?? e['data'] })) : events
      const bytes = Buffer.from(kit.frame(plain))
      const relay = translation.streaming()
      text = ''
      for (let at = 0; at < bytes.length; at += 7) text += relay.push(bytes.subarray(at, at + 7))
      text += relay.end()
    } else {
      const { body, status, echoName } = turn['upstreamResponse']
      let said = JSON.stringify(kit.fill(body))
      const asked = JSON.parse(asking.body)
      if (echoName) said = said.replace('{{upstreamName}}', asked.tools?.[0]?.functionDeclarations?.[0]?.name ?? 'none')
      text =
        status >= 400
          ? translation.error(status, Buffer.from(said), 'id')
          : (translation.whole(Buffer.from(said)) ?? '{"none":true}')
    }
    // An answer that fails before it has begun is the corridor's to tell: gateway/golden.test.ts.
    if (turn['upstreamStream'] && !turn['clientStream']) continue
    for (const part of c['clientMustNotContain'] ?? []) if (text.includes(part)) w(`client body contains ${part}`)
    if (!turn['clientStream']) {
      w(...kit.match(turn['clientResponse'].body, JSON.parse(text), { bound }).map((one: string) => `client ${one}`))
      continue
    }
    let events = kit.parseSSE(text)
    if (c['allowTrailingSignature'])
      events = events.filter(
        (e: Json) =>
          !e['data'].candidates?.[0]?.content?.parts?.every((p: Json) => !p['text'] && p['thoughtSignature']) ||
          e['data'].candidates[0].finishReason,
      )
    if (c['optionalRefusalDelta'])
      events = events.filter((e: Json) => typeof e['data'].choices?.[0]?.delta?.refusal !== 'string')
    const got = kit.normalise(c.client, events)
    w(...kit.match(kit.normalise(c.client, turn['clientStream']), got, { bound }).map((one: string) => `client ${one}`))
    const all =
      c.client === 'anthropic'
        ? { content: accumulate(got) }
        : c.client === 'responses'
          ? got.at(-1)?.data.response
          : undefined
    for (const [name, where] of Object.entries(turn['capture'] ?? {})) bag[name] = kit.pick(all, where)
    for (const set of c['distinct'] ?? [])
      if (new Set(set.map((x: string) => bound[x])).size !== set.length) w(`not distinct: ${set}`)
  }
  return wrong
}

function accumulate(events: Json[]): Json[] {
  const out: Json[] = []
  for (const { data } of events as { data: Json }[]) {
    if (data['type'] === 'content_block_start') out[data['index']] = { ...data['content_block'] }
    if (data['type'] === 'content_block_delta' && data['delta'].type === 'signature_delta')
      out[data['index']]!['signature'] = data['delta'].signature
  }
  return out
}

// `node24 test/helpers/golden.ts 05`: for whoever works on a codec.
if (process.argv[1] === import.meta.filename)
  for (const c of cases.filter(one => one.id.startsWith(process.argv[2] ?? ''))) {
    let wrong: string[]
    try {
      wrong = check(c)
    } catch (error) {
      wrong = [error instanceof Error ? (error.stack ?? '').split('\n').slice(0, 4).join(' | ') : String(error)]
    }
    console.log(wrong.length === 0 ? `ok   ${c.id}` : `FAIL ${c.id}\n     ${wrong.slice(0, 12).join('\n     ')}`)
  }

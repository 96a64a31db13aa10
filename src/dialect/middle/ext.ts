// What a client says in fields of its own dialect: named as left out wherever another dialect is spoken.

import { fieldsOf } from './fields.ts'
import type { Ask, DialectName, Ext, Json } from './form.ts'
import type { Notes } from './notes.ts'

/** Fields that nobody misses: always, or with one of these values. */
const harmless: Record<DialectName, Record<string, true | readonly string[]>> = {
  messages: { service_tier: true, betas: true, billing_policy: true, citations: ['null', '[]'], caller: true },
  chat: { stream_options: true, store: ['false', 'null'], modalities: ['["text"]'], n: ['1', 'null'] },
  responses: {
    include: true,
    stream_options: true,
    store: ['false', 'null'],
    truncation: ['"disabled"', 'null'],
    metadata: ['null', '{}'],
    text: true,
    id: true,
    status: true,
  },
  gemini: {},
}

/** Fields without which the answer would be to another question. */
const needed: Partial<Record<DialectName, Record<string, string>>> = {
  messages: { mcp_servers: 'servers of tools are asked by Anthropic itself, which this account is not of' },
  chat: { audio: 'an answer in sound has no translation' },
}

/**
 * Names all fields that are not of the dialect `own`; those on turns, parts and tools too.
 * @param except fields of the request, in the client's words, that the encoder says in another way
 * @throws Failure UNTRANSLATABLE for what must not be left out
 */
export function dropForeign(ask: Ask, own: DialectName, notes: Notes, except: readonly string[] = []): void {
  const { history, system } = fieldsOf(ask)
  const drop = (ext: Ext | undefined, before: string) => {
    for (const dialect in ext)
      if (dialect !== own)
        for (const [name, value] of Object.entries(ext[dialect as DialectName]!))
          if (!isHarmless(dialect as DialectName, name, value)) notes.drop(before + name)
  }
  for (const dialect in ask.ext)
    if (dialect !== own)
      for (const [name, value] of Object.entries(ask.ext[dialect as DialectName]!)) {
        if (except.includes(name) || isHarmless(dialect as DialectName, name, value)) continue
        const refused = needed[dialect as DialectName] ?? {}
        const why = Object.hasOwn(refused, name) ? refused[name] : undefined
        if (why) notes.refuse(name, why)
        notes.drop(name)
      }
  for (const text of ask.system) drop(text.ext, `${system}.`)
  // A tool that the vendor runs is taken or named as a whole.
  for (const tool of ask.tools) if (tool.kind !== 'server') drop(tool.ext, 'tools.')
  for (const turn of ask.turns) {
    drop(turn.ext, `${history}.`)
    for (const part of turn.parts) drop(part.ext, `${history}.`)
  }
}

function isHarmless(dialect: DialectName, name: string, value: Json): boolean {
  const known = Object.hasOwn(harmless[dialect], name) ? harmless[dialect][name] : undefined
  return known === true || (known?.includes(value.replace(/\s/g, '')) ?? false)
}

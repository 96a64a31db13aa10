// A request for a Gemini upstream: the public API, or the older fields of v1internal (spec/wire.md §4.1, 4.3).
import { inPath } from '../../lib/url-path.ts'
import { raw, writeExact } from '../json/exact.ts'
import type { Asking, Target } from '../middle/codec.ts'
import { dropForeign } from '../middle/ext.ts'
import { fieldsOf } from '../middle/fields.ts'
import type { Ask, Tool } from '../middle/form.ts'
import { type Chosen, chosen, WireNames } from '../middle/names.ts'
import type { Notes } from '../middle/notes.ts'
import { configFor } from './encode-config.ts'
import { type Conversation, conversationOf, type Encoding } from './encode-turns.ts'
import { cleanedSchema, plainSchema } from './schema.ts'

// A letter or an underscore first; the older front takes no more than 64.
const legal = { first: 'a-zA-Z_', rest: 'a-zA-Z0-9_.:-' }

export function encodeAsk(ask: Ask, target: Target, notes: Notes): Asking {
  const by = encodingOf(ask, target, notes)
  const conversation = conversationOf(by)
  const tools = toolsFor(by)
  const { config, words } = configFor(by, tools.functions > 0)
  if (words !== '') conversation.system.push(words)
  const choice = choiceFor(by, tools)
  const tier = tierFor(by)
  return asking(by, ask.stream ? 'streamGenerateContent' : 'generateContent', {
    ...said(conversation),
    ...(tools.list.length > 0 ? { tools: tools.list } : {}),
    ...(choice ? { toolConfig: choice } : {}),
    generationConfig: config,
    ...(tier ? { serviceTier: tier } : {}),
    ...own(ask, target),
  })
}

/** The same to be counted: nothing of how it is to be answered counts. */
export function encodeCount(ask: Ask, target: Target, notes: Notes): Asking {
  const by = encodingOf(ask, target, notes)
  const conversation = said(conversationOf(by, true))
  const { list } = toolsFor(by)
  const request = { ...conversation, ...(list.length > 0 ? { tools: list } : {}) }
  // In the envelope there is place for the contents alone (spec/wire-additions.md §3.5).
  const body = target.internal
    ? { contents: request.contents }
    : { generateContentRequest: { model: `models/${target.model}`, ...request } }
  return asking(by, 'countTokens', body)
}

function encodingOf(ask: Ask, target: Target, notes: Notes): Encoding {
  for (const { param } of ask.held)
    if (ask.dialect !== 'gemini') notes.refuse(param, 'what it names lives at another vendor')
  dropForeign(ask, 'gemini', notes)
  const functions = ask.tools.filter(({ kind }) => kind !== 'server')
  const names = new WireNames(functions, { ...legal, max: target.internal ? 64 : 128 })
  return { ask, target, notes, names, called: new Map() }
}

function asking({ ask, names, target }: Encoding, action: string, body: object): Asking {
  return {
    // Google's own name for it, which other dialects' clients send too, begins with `models/`.
    path: `/v1beta/models/${inPath(target.model.replace(/^models\//, ''))}:${action}`,
    query: action === 'streamGenerateContent' && ask.stream ? '?alt=sse' : '',
    headers: {},
    body: writeExact(body),
    wires: names.wires,
  }
}

function said({ system, contents }: Conversation) {
  return {
    contents,
    ...(system.length > 0 ? { systemInstruction: { parts: system.map(text => ({ text })) } } : {}),
  }
}

/** What only this dialect has goes back as it came; v1internal knows less of it. */
function own(ask: Ask, target: Target): Record<string, unknown> {
  if (target.internal) return {}
  const fields = Object.entries(ask.ext.gemini ?? {}).filter(([name]) => !name.includes('.'))
  return Object.fromEntries(fields.map(([name, json]) => [name, raw(json)]))
}

// ---- tools ----

interface Tools {
  list: object[]
  functions: number
  searches: boolean
}

function toolsFor(by: Encoding): Tools {
  const { ask, notes, target } = by
  const functions = ask.tools.filter(({ kind }) => kind !== 'server')
  const list: object[] = []
  if (functions.length > 0) list.push({ functionDeclarations: functions.map(tool => declared(tool, by)) })
  let searches = false
  for (const tool of ask.tools.filter(({ kind }) => kind === 'server')) {
    const own = ask.dialect === 'gemini'
    const fits = own || tool.server === 'webSearch'
    if (!fits || (functions.length > 0 && !target.facts.searchWithTools)) notes.drop(`tools.${tool.name}`)
    else if (own) list.push({ [tool.name]: raw(tool.ext?.gemini?.[tool.name] ?? '{}') })
    else if (!searches) list.push({ googleSearch: {} })
    searches ||= fits
  }
  return { list, functions: functions.length, searches: searches && list.length > (functions.length > 0 ? 1 : 0) }
}

const FREEFORM = '{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}'

function declared(tool: Tool, { ask, names, notes, target }: Encoding): object {
  const fields = fieldsOf(ask)
  const free = tool.kind === 'freeform'
  if (tool.strict) notes.drop(fields.strict)
  if (free && tool.grammar) notes.drop(fields.grammar)
  const grammar = tool.grammar ? `The input has this form:\n${tool.grammar}` : ''
  const description = [tool.description ?? '', grammar].filter(Boolean).join('\n\n')
  const schema = (free ? FREEFORM : (tool.schema ?? '{"type":"object","properties":{}}')) as NonNullable<Tool['schema']>
  return {
    name: names.of(tool),
    ...(description === '' ? {} : { description }),
    ...(target.internal
      ? { parameters: raw(cleanedSchema(schema, target.facts.validated)) }
      : { parametersJsonSchema: raw(plainSchema(schema)) }),
  }
}

function choiceFor({ ask, names, notes, target }: Encoding, tools: Tools): object | undefined {
  const fields = fieldsOf(ask)
  if (ask.parallel === false) notes.drop(fields.parallel)
  const { choice } = ask
  const more =
    tools.functions > 0 && tools.searches && !target.internal ? { includeServerSideToolInvocations: true } : {}
  const said = (config: object) => ({ functionCallingConfig: config, ...more })
  if (tools.functions === 0) return undefined
  if (choice === 'none') return said({ mode: 'NONE' })
  const forced = choice === 'required' || typeof choice === 'object'
  if (forced && target.facts.forcedTools) {
    if (choice === 'required') return said({ mode: 'ANY' })
    const called = chosen(ask.tools, choice.names).filter(tool => !isServer(tool))
    if (called.length > 0) return said({ mode: 'ANY', allowedFunctionNames: called.map(tool => names.of(tool)) })
    // What Google runs itself it cannot be made to run.
  }
  if (forced) notes.change(fields.choice)
  if (target.internal && target.facts.validated) return said({ mode: 'VALIDATED' })
  return tools.searches ? (Object.keys(more).length > 0 ? more : undefined) : undefined
}

const isServer = (tool: Chosen) => 'kind' in tool && tool.kind === 'server'

const tiers = new Set(['flex', 'priority'])
const usual = new Set(['auto', 'default', 'standard'])

function tierFor({ ask, notes, target }: Encoding): string | undefined {
  const { tier } = ask
  if (!tier || usual.has(tier)) return undefined
  if (tiers.has(tier) && !target.internal) return tier
  notes.drop(fieldsOf(ask).tier)
  return undefined
}

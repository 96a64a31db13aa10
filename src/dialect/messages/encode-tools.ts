// Tools as Claude is given them, and which of them it may or must call.
import { raw } from '../json/exact.ts'
import type { Target } from '../middle/codec.ts'
import { fieldsOf, type Fields as Names } from '../middle/fields.ts'
import type { Ask, Json, Tool } from '../middle/form.ts'
import { type Chosen, chosen, type WireNames } from '../middle/names.ts'
import type { Notes } from '../middle/notes.ts'
import type { Breakpoints, Cached } from './breakpoints.ts'
import { answerSchema, inputSchema } from './schema.ts'

export interface Written {
  ask: Ask
  target: Target
  notes: Notes
  names: WireNames
  breakpoints: Breakpoints
}

export function encodeTools({ ask, target, notes, names, breakpoints }: Written): object[] {
  const fields = fieldsOf(ask)
  const out: (Cached & Record<string, unknown>)[] = []
  for (const tool of ask.tools) {
    const written =
      tool.kind === 'server' ? serverTool(tool, ask, target, names) : functionTool(tool, names, fields, notes)
    if (!written) {
      notes.drop(`tools.${tool.name}`)
      continue
    }
    breakpoints.mark(written, tool.cache)
    out.push(written)
  }
  return out
}

function functionTool(tool: Tool, names: WireNames, fields: Names, notes: Notes): Record<string, unknown> {
  const name = names.of(tool)
  if (tool.kind === 'freeform') {
    if (tool.grammar) notes.drop(fields.grammar)
    const how = `The input is the text itself, all of it in "input".${tool.grammar ? ` It keeps to this grammar:\n${tool.grammar}` : ''}`
    return { name, description: tool.description ? `${tool.description}\n\n${how}` : how, input_schema: raw(freeform) }
  }
  const schema = inputSchema(tool.schema)
  const promised = tool.strict ? answerSchema(schema.json) : schema
  if (schema.changed || promised.changed) notes.change(fields.toolSchema)
  return {
    name,
    ...(tool.description ? { description: tool.description } : {}),
    input_schema: raw(promised.json),
    ...(tool.strict ? { strict: true } : {}),
    ...(tool.deferred ? { defer_loading: true } : {}),
    ...own(tool.ext?.messages),
  }
}

const freeform = '{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}'

/** One of Anthropic's own, or the search of the web that every vendor has; undefined: it has no such tool. */
function serverTool({ server, ext }: Tool, { tools }: Ask, { facts }: Target, names: WireNames) {
  const said = ext?.messages
  if (said?.['type']) return own(said)
  if (server !== 'webSearch' || !facts.searchTool) return undefined
  // Names are used once, and the client may have a function of that name.
  if (tools.some(tool => tool.kind !== 'server' && names.of(tool) === 'web_search')) return undefined
  return { type: facts.searchTool, name: 'web_search' }
}

/** What is the dialect's own, as it stood. */
const own = (said: Record<string, Json> | undefined): Record<string, unknown> =>
  Object.fromEntries(Object.entries(said ?? {}).map(([name, json]) => [name, raw(json)]))

/** A search of the web has one name here, whatever the client's vendor calls it. */
const wireOf = (tool: Chosen, names: WireNames) =>
  'server' in tool && tool.server === 'webSearch' ? 'web_search' : names.of(tool)

/** @param thinking by budget: nothing may be forced then */
export function encodeChoice(
  written: Written,
  tools: number,
  thinking: boolean,
): { choice?: object; instruction?: string } {
  const { ask, target, notes, names } = written
  if (tools === 0) return {}
  const { choice } = ask
  const alone = ask.parallel === false ? { disable_parallel_tool_use: true } : {}
  if (choice === 'none') return { choice: { type: 'none' } }
  if (choice === 'auto') return ask.parallel === false ? { choice: { type: 'auto', ...alone } } : {}
  const called = choice === 'required' ? [] : chosen(ask.tools, choice.names).map(tool => wireOf(tool, names))
  const forced = target.facts.forcedTools && (target.facts.forcedWhileThinking || !thinking)
  if (forced && called.length <= 1)
    return { choice: called.length === 1 ? { type: 'tool', name: called[0], ...alone } : { type: 'any', ...alone } }
  notes.change(fieldsOf(ask).choice)
  return {
    choice: { type: forced ? 'any' : 'auto', ...alone },
    instruction:
      called.length === 0
        ? 'Call one of the tools now; do not answer without calling one.'
        : called.length === 1
          ? `Call the tool ${called[0]} now; do not answer without calling it.`
          : `Call one of these tools now, and no other: ${called.join(', ')}. Do not answer without calling one of them.`,
  }
}

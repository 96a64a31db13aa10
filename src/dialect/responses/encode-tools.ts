// The tools of a Responses request, and the choice among them.
import { parseExact, raw, writeExact } from '../json/exact.ts'
import type { Json, Tool } from '../middle/form.ts'
import { type Encoding, rootOf } from '../openai-asking.ts'

export function encodeTools(encoding: Encoding): object {
  const { ask, notes } = encoding
  const tools = ask.tools.flatMap(tool => toolOf(tool, encoding))
  if (tools.length === 0) {
    if (ask.choice !== 'auto' && ask.choice !== 'none') notes.drop(encoding.fields.choice)
    return {}
  }
  return { tools, ...choiceOf(encoding) }
}

function toolOf(tool: Tool, encoding: Encoding): object[] {
  const { notes, names, fields } = encoding
  if (tool.kind === 'server') {
    if (tool.server === 'webSearch') return [{ type: 'web_search' }]
    notes.drop(`tools.${tool.name}`)
    return []
  }
  const name = names.of(tool)
  const { description } = tool
  if (tool.kind === 'freeform') {
    const format = isNative(tool)
    if (format !== false) return [{ type: 'custom', name, description, ...(format ? { format } : {}) }]
    if (tool.grammar) notes.drop(fields.grammar)
    const about = [description, INPUT_IS_TEXT, tool.grammar].filter(Boolean).join('\n\n')
    return [{ type: 'function', name, description: about, parameters: raw(INPUT), strict: false }]
  }
  if (tool.deferred) notes.drop('tools.defer_loading')
  // Left out it would be true here, and false wherever else.
  return [{ type: 'function', name, description, parameters: raw(schemaOf(tool.schema)), strict: tool.strict ?? false }]
}

const INPUT = '{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}'
const INPUT_IS_TEXT = 'The input is the text itself, all of it in "input".'

/** The format of a tool that stays freeform, '' for none; false: it must be a function. */
export function isNative(tool: Tool): object | '' | false {
  if (tool.kind !== 'freeform') return false
  const said = tool.ext?.chat?.['format']
  if (!said) return tool.grammar ? false : ''
  // Chat says in an object what is said flat here.
  const { type, grammar } = parseExact(said) as { type?: unknown; grammar?: object }
  return { type, ...grammar }
}

/** A schema whose root is an object. */
function schemaOf(schema: Json | undefined): Json | string {
  const said = rootOf(schema)
  if (typeof said === 'string') return said
  if ('type' in said && ('properties' in said || said['type'] !== 'object')) return schema!
  const bare = 'properties' in said || 'anyOf' in said || '$ref' in said
  return writeExact({ type: 'object', ...(bare ? {} : { properties: {} }), ...said })
}

function choiceOf(encoding: Encoding): object {
  const { ask, target, notes, names, fields } = encoding
  const { choice } = ask
  if (choice === 'auto') return {}
  if (choice === 'none') return { tool_choice: 'none' }
  if (!target.facts.forcedTools) {
    notes.change(fields.choice)
    return {}
  }
  if (choice === 'required') return { tool_choice: 'required' }
  const chosen = ask.tools
    .filter(({ name, kind }) => kind !== 'server' && choice.names.includes(name))
    .map(tool => ({ type: isNative(tool) === false ? 'function' : 'custom', name: names.of(tool) }))
  if (chosen.length === 1) return { tool_choice: chosen[0] }
  if (chosen.length === 0) notes.change(fields.choice)
  return {
    tool_choice: chosen.length > 1 ? { type: 'allowed_tools', mode: 'required', tools: chosen } : 'required',
  }
}

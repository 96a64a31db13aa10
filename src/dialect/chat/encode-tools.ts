// The tools of a Chat Completions request, and the choice among them.
import { raw, writeExact } from '../json/exact.ts'
import type { Json, Tool } from '../middle/form.ts'
import { type Encoding, rootOf } from '../openai-asking.ts'

export function encodeTools(encoding: Encoding): object {
  const { ask, target, notes } = encoding
  let search: object = {}
  const own: object[] = []
  let tools: Tool[] = []
  for (const tool of ask.tools) {
    if (tool.kind !== 'server') tools.push(tool)
    else if (tool.server === 'webSearch' && target.facts.searchTool === 'web_search_options') search = searchOf(tool)
    else if (tool.ext?.chat && tool.name !== 'web_search_options')
      own.push({ type: tool.name, ...Object.fromEntries(Object.entries(tool.ext.chat).map(([k, v]) => [k, raw(v)])) })
    else notes.drop(ask.dialect === 'chat' ? tool.name : `tools.${tool.name}`)
  }
  if (typeof ask.choice === 'object' && ask.choice.names.length > 1 && !target.own) {
    // Only the vendor's own server can be told which of them; here the others are not there.
    const { names } = ask.choice
    tools = tools.filter(({ name }) => names.includes(name))
  }
  const declared = [...tools.map(tool => toolOf(tool, encoding)), ...own]
  if (declared.length === 0) return search
  return {
    tools: declared,
    ...choiceOf(encoding, tools),
    ...parallel(encoding),
    ...search,
  }
}

function parallel({ ask, target, notes, fields }: Encoding): object {
  if (ask.parallel === undefined) return {}
  if (target.facts.parallel) return { parallel_tool_calls: ask.parallel }
  notes.drop(fields.parallel)
  return {}
}

function searchOf({ ext }: Tool): object {
  const options = Object.entries(ext?.chat ?? {}).map(([name, value]) => [name, raw(value)])
  return { web_search_options: Object.fromEntries(options) }
}

function toolOf(tool: Tool, { target, notes, names, fields }: Encoding): object {
  const name = names.of(tool)
  const { description, strict, grammar } = tool
  if (tool.kind === 'freeform') {
    if (target.own) {
      const format = formatOf(tool)
      return {
        type: 'custom',
        custom: { name, ...(description ? { description } : {}), ...(format ? { format } : {}) },
      }
    }
    if (grammar) notes.drop(fields.grammar)
    const about = [description, INPUT_IS_TEXT, grammar].filter(Boolean).join('\n\n')
    return { type: 'function', function: { name, description: about, parameters: raw(INPUT) } }
  }
  return {
    type: 'function',
    function: {
      name,
      ...(description ? { description } : {}),
      parameters: raw(schemaOf(tool.schema)),
      ...(strict === undefined ? {} : { strict }),
    },
  }
}

/** Its grammar as Chat has it, from where the client's dialect has it otherwise. */
function formatOf({ ext, grammar }: Tool): object | undefined {
  const said = ext?.chat?.['format']
  if (said) return raw(said)
  const [, syntax, definition] = /^(\w+) grammar:\n(.*)$/s.exec(grammar ?? '') ?? []
  return syntax ? { type: 'grammar', grammar: { syntax, definition } } : undefined
}

const INPUT_IS_TEXT = 'The input is the text itself, all of it in "input".'
// What a freeform tool is where there are only functions.
const INPUT =
  '{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}'

/** A schema whose root is an object with properties: servers exist that want both. */
function schemaOf(schema: Json | undefined): Json | string {
  const said = rootOf(schema)
  if (typeof said === 'string') return said
  if ('type' in said && 'properties' in said) return schema!
  if ('$ref' in said || 'anyOf' in said || 'oneOf' in said || 'allOf' in said) return schema!
  return writeExact({ type: 'object', properties: {}, ...said })
}

function choiceOf({ ask, target, names, notes, fields }: Encoding, tools: readonly Tool[]): object {
  const { choice } = ask
  const { forcedTools } = target.facts
  if (choice === 'auto') return {}
  if (choice === 'none') return { tool_choice: 'none' }
  if (!forcedTools) {
    notes.change(fields.choice)
    return {}
  }
  if (choice === 'required') return { tool_choice: 'required' }
  const chosen = tools
    .filter(({ name }) => choice.names.includes(name))
    .map(tool => referred(tool, names.of(tool), target.own))
  if (chosen.length === 0) {
    notes.change(fields.choice)
    return { tool_choice: 'required' }
  }
  if (chosen.length === 1) return { tool_choice: chosen[0] }
  return target.own
    ? { tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: chosen } } }
    : { tool_choice: 'required' }
}

const referred = ({ kind }: Tool, name: string, own: boolean) =>
  kind === 'freeform' && own ? { type: 'custom', custom: { name } } : { type: 'function', function: { name } }

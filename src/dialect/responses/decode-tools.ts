// Tools of a Responses request, and which of them may be called.
import type { Ask, Tool, Ttl } from '../middle/form.ts'
import { type Fields, fieldsIn, flagIn, isFields, listIn, textIn, wordOf, wrong } from '../middle/read.ts'
import { exactFields, ownExt } from './own.ts'

/** What tools of the vendor do, by what their type begins with. */
const servers: readonly (readonly [begins: string, word: string])[] = [
  ['web_search', 'webSearch'],
  ['file_search', 'fileSearch'],
  ['code_interpreter', 'codeExecution'],
  ['image_generation', 'imageGeneration'],
  ['computer', 'computer'],
  ['mcp', 'mcp'],
  ['tool_search', 'toolSearch'],
]

/** One tool, or those of a namespace. @throws Failure BODY_INVALID */
export function toolsOf(value: unknown, at: string, namespace?: string): Tool[] {
  const said = fieldsIn(value, at) ?? wrong(at, 'an object')
  const { type, ...fields } = said
  switch (type) {
    case 'function':
      return [functionOf(fields, at, namespace)]
    case 'custom':
      return [customOf(fields, at, namespace)]
    case 'namespace': {
      const name = textIn(fields['name'], `${at}.name`) ?? wrong(`${at}.name`, 'there')
      return (listIn(fields['tools'], `${at}.tools`) ?? []).flatMap((tool, n) =>
        toolsOf(tool, `${at}.tools.${n}`, name),
      )
    }
    default: {
      const kind = textIn(type, `${at}.type`) ?? wrong(`${at}.type`, 'there')
      const server = servers.find(([begins]) => kind.startsWith(begins))?.[1] ?? kind
      return [{ kind: 'server', name: kind, server, ...ownExt(fields) }]
    }
  }
}

function functionOf(fields: Fields, at: string, namespace: string | undefined): Tool {
  const { name, description, parameters, strict, defer_loading, ...rest } = fields
  const promised = flagIn(strict, `${at}.strict`)
  const schema = fieldsIn(parameters, `${at}.parameters`)
  return {
    kind: 'function',
    ...named(name, description, at, namespace),
    ...(schema ? { schema: exactFields(schema) } : {}),
    ...(promised === undefined ? {} : { strict: promised }),
    ...(flagIn(defer_loading, `${at}.defer_loading`) ? { deferred: true } : {}),
    ...ownExt(rest),
  }
}

function customOf(fields: Fields, at: string, namespace: string | undefined): Tool {
  const { name, description, format, ...rest } = fields
  const said = fieldsIn(format, `${at}.format`)
  return {
    kind: 'freeform',
    ...named(name, description, at, namespace),
    grammar: grammarOf(said),
    ...ownExt(rest),
  }
}

/** A grammar in words, for servers that cannot hold a model to it; '' for none. */
function grammarOf(format: Fields | undefined): string {
  const { type, syntax, definition } = format ?? {}
  return type === 'grammar' && typeof definition === 'string'
    ? `${wordOf(syntax) || 'lark'} grammar:\n${definition}`
    : ''
}

function named(name: unknown, description: unknown, at: string, namespace: string | undefined) {
  const text = textIn(description, `${at}.description`)
  return {
    name: textIn(name, `${at}.name`) ?? wrong(`${at}.name`, 'there'),
    ...(namespace === undefined ? {} : { namespace }),
    ...(text === undefined ? {} : { description: text }),
  }
}

/** `unsaid`: it says more than the form can. */
export function choiceOf(value: unknown): Pick<Ask, 'choice'> & { unsaid?: true } {
  if (value === 'none' || value === 'required') return { choice: value }
  if (!isFields(value)) return { choice: 'auto' }
  const { type, mode, tools, name } = value
  if (type !== 'allowed_tools') return { choice: { names: [textIn(name, 'tool_choice.name') ?? wordOf(type)] } }
  if (mode !== 'required') return { choice: 'auto', unsaid: true }
  const allowed = (listIn(tools, 'tool_choice.tools') ?? []).map(tool => fieldsIn(tool, 'tool_choice.tools') ?? {})
  return { choice: { names: allowed.map(one => wordOf(one['name'] ?? one['type'])) } }
}

const ttls = new Set<unknown>(['5m', '30m', '1h', '12h'])

/** A lifetime in the cache; what is not known is the vendor's own. */
export const cacheTtl = (value: unknown): Ttl => (ttls.has(value) ? (value as Ttl) : 'default')

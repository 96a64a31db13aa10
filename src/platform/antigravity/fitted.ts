// What Antigravity refuses of a request in Gemini's own words is left out or said otherwise, in place: every other byte stays.
import type { Span } from '../../dialect/dialect.ts'
import { cleanedSchema } from '../../dialect/gemini/schema.ts'
import { keyStart, memberAt } from '../../dialect/json/member.ts'
import { elements, members } from '../../dialect/json/walk.ts'
import type { Json } from '../../dialect/middle/form.ts'
import type { Edit } from '../../dialect/peeking.ts'

/** Edits for a body whose top-level `fields` are known: no safetySettings, and schemas of the older kind. */
export function fitted(body: Buffer, fields: ReadonlyMap<string, Span>): Edit[] {
  const edits: Edit[] = []
  for (const name of ['safetySettings', 'safety_settings']) {
    const span = fields.get(name)
    if (span) edits.push({ ...memberAt(body, span), text: '' })
  }
  const tools = fields.get('tools')
  for (const tool of tools ? elements(body, tools.start) : [])
    for (const { key, value } of members(body, tool))
      if (key === 'functionDeclarations' || key === 'function_declarations')
        for (const declaration of elements(body, value.start)) edits.push(...schemasOf(body, declaration))
  return edits
}

function schemasOf(body: Buffer, declaration: number): Edit[] {
  const edits: Edit[] = []
  for (const { key, value } of members(body, declaration))
    if (key === 'parametersJsonSchema' || key === 'parameters_json_schema') {
      const text = cleanedSchema(body.toString('utf8', value.start, value.end) as Json)
      edits.push({ start: keyStart(body, value), end: value.end, text: `"parameters":${text}` })
    }
  return edits
}

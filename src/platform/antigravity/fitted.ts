// What Antigravity refuses of a request in Gemini's own words is left out or said otherwise, in place: every other byte stays.
import type { Span } from '../../dialect/dialect.ts'
import { cleanedSchema } from '../../dialect/gemini/schema.ts'
import { elements, members } from '../../dialect/json/walk.ts'
import type { Json } from '../../dialect/middle/form.ts'
import type { Edit } from '../gemini/envelope.ts'

const QUOTE = 0x22
const COMMA = 0x2c

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

/** Where the key of a member begins whose value is here: nothing but a colon and spaces stands between. */
function keyStart(body: Buffer, value: Span): number {
  const end = body.lastIndexOf(QUOTE, value.start - 1)
  return body.lastIndexOf(QUOTE, end - 1)
}

/** A whole member with the one comma that goes with it. */
function memberAt(body: Buffer, value: Span): Span {
  const start = keyStart(body, value)
  let before = start - 1
  while (body[before]! <= 0x20) before--
  if (body[before] === COMMA) return { start: before, end: value.end }
  let after = value.end
  while (body[after]! <= 0x20) after++
  return { start, end: body[after] === COMMA ? after + 1 : value.end }
}

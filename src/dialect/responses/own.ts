// What of the Responses dialect has no word in the middle form: kept as it stood.
import { asJson } from '../json/exact.ts'
import type { Ext, Json } from '../middle/form.ts'
import type { Fields } from '../middle/read.ts'

/** A value as JSON text, with its order and all its digits. */
export const exactFields = (value: unknown): Json => asJson(value)

/** Fields of an item, part or tool that the form has no word for; {} for none. */
export function ownExt(fields: Fields): { ext?: Ext } {
  const said = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null)
  if (said.length === 0) return {}
  return { ext: { responses: Object.fromEntries(said.map(([name, value]) => [name, exactFields(value)])) } }
}

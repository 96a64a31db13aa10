// What a request is encoded of and by.
import type { Target } from '../middle/codec.ts'
import type { Fields } from '../middle/fields.ts'
import type { Ask } from '../middle/form.ts'
import type { WireNames } from '../middle/names.ts'
import type { Notes } from '../middle/notes.ts'

export interface Encoding {
  ask: Ask
  target: Target
  notes: Notes
  names: WireNames
  /** the client's words */
  fields: Fields
}

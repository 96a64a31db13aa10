// What encoders of a request are given.
import type { Target } from '../middle/codec.ts'
import type { Fields } from '../middle/fields.ts'
import type { Ask } from '../middle/form.ts'
import type { WireNames } from '../middle/names.ts'
import type { Notes } from '../middle/notes.ts'

/** What an encoding is made of and by. */
export interface Encoding {
  ask: Ask
  target: Target
  notes: Notes
  names: WireNames
  /** the client's words */
  fields: Fields
}

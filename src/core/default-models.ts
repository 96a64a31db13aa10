// Which models an account serves that has no mapping of its own, where its platform has a catalogue: config/antigravity-models.json, in the
// words of a mapping.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Platform } from '../db/schema.ts'

const file = path.join(import.meta.dirname, '../../config/antigravity-models.json')

const catalogues: Partial<Record<Platform, Record<string, string>>> = {
  antigravity: JSON.parse(readFileSync(file, 'utf8')),
}

/** The mapping of an account: its own, else its platform's; empty where every model is served under its own name. */
export function mappingFor(platform: Platform, own: Record<string, string>): Record<string, string> {
  return Object.keys(own).length > 0 ? own : (catalogues[platform] ?? own)
}

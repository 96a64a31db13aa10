// Which models an account serves that has no mapping of its own, where its platform has a catalogue: its provider's list, else
// config/antigravity-models.json, both in the words of a mapping.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Platform } from '../db/schema.ts'

const file = path.join(import.meta.dirname, '../../config/antigravity-models.json')

const shipped: Partial<Record<Platform, Record<string, string>>> = {
  antigravity: JSON.parse(readFileSync(file, 'utf8')),
}

/** What gw knows of a platform's models by itself; empty where every model is served under its own name. */
export function shippedModels(platform: Platform): Record<string, string> {
  return shipped[platform] ?? {}
}

/** The mapping of an account: its own, else what its provider listed (null: nothing yet), else gw's. */
export function mappingFor(
  platform: Platform,
  own: Record<string, string>,
  catalogue: Record<string, string> | null,
): Record<string, string> {
  return Object.keys(own).length > 0 ? own : (catalogue ?? shippedModels(platform))
}

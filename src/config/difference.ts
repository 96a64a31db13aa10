// What two configurations differ in, and what of it a reload may put in force.
import { isDeepStrictEqual } from 'node:util'
import { type Config, type SettingKey, settingKeys, settings, shown } from './schema.ts'

/** A setting that says something else than before; both as they may be printed. */
export interface Difference {
  readonly key: SettingKey
  readonly from: string
  readonly to: string
}

/** In the order of the table; of settings that a reload may apply, or of all others. */
export function differences(from: Config, to: Config, { reloadable }: { reloadable: boolean }): Difference[] {
  return settingKeys
    .filter(key => settings[key].reloadable === reloadable && !isDeepStrictEqual(from[key], to[key]))
    .map(key => ({ key, from: shown(key, from[key]), to: shown(key, to[key]) }))
}

/** `inForce` with the settings `keys` as `wanted` has them; itself where there are none, since others keep what they made of it. */
export function merged(inForce: Config, wanted: Config, keys: readonly SettingKey[]): Config {
  if (keys.length === 0) return inForce
  return { ...inForce, ...Object.fromEntries(keys.map(key => [key, wanted[key]])) }
}

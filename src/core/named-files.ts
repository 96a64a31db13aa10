// The files that settings name and that gw reads as a whole: what models can do, and alert rules.
import type { Models } from '../dialect/middle/models.ts'
import { readModels } from '../dialect/middle/models-file.ts'
import { Refusal } from '../lib/refusal.ts'
import { type RuleFile, readRuleFile } from './alert/read-file.ts'

/** Their settings; undefined: there is no such file. */
export interface FileNames {
  readonly 'models.file': string | undefined
  readonly 'alerts.file': string | undefined
}

export interface NamedFiles {
  /** what goes over the facts that gw comes with */
  models: Partial<Models>
  rules: RuleFile
}

/**
 * Reads and checks all of them, and changes nothing.
 * @throws Refusal `config` with every mistake in any of them, one a line: where, what, and what is allowed
 */
export function readNamedFiles(config: FileNames): NamedFiles {
  const problems: string[] = []
  const read = <T>(file: string | undefined, reading: (file: string) => T, none: T): T => {
    try {
      return file === undefined ? none : reading(file)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      problems.push(error.message)
      return none
    }
  }
  const models = read(config['models.file'], readModels, {})
  const rules = read(config['alerts.file'], readRuleFile, { rules: [], tests: [] })
  if (problems.length > 0) throw new Refusal('config', problems.join('\n'))
  return { models, rules }
}

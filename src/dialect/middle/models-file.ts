// A file of models' facts that an operator puts over those that gw comes with: setting `models.file`.

import { readNamed } from '../../lib/named-file.ts'
import { Refusal } from '../../lib/refusal.ts'
import { notJson, why } from '../../lib/why.ts'
import type { Models } from './models.ts'
import { lintModels } from './models-lint.ts'

/** @throws Refusal `config` with every mistake, one a line: where, what, and what is allowed */
export function readModels(file: string): Partial<Models> {
  const refuse = (problems: readonly string[], cause?: unknown): never => {
    const lines = problems.map(problem => `models.file ${file}: ${problem}`)
    throw new Refusal('config', lines.join('\n'), { cause })
  }
  let text = ''
  try {
    text = readNamed(file)
  } catch (error) {
    return refuse([`cannot be read: ${why(error)}; name a file of the shape of config/models.json`], error)
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return refuse([notJson('its text', text, error)], error)
  }
  const wrong = lintModels(value)
  return wrong.length > 0 ? refuse(wrong) : (value as Partial<Models>)
}

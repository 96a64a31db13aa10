// gw alert rule import and check: files of rules, and the tests in them.
import path from 'node:path'
import { checkRules } from '../../core/alert/check.ts'
import { readRuleFile, shippedRules } from '../../core/alert/read-file.ts'
import { checkNames } from '../../core/alert/states.ts'
import { importRules } from '../../core/alert/sync.ts'
import { Refusal } from '../../lib/refusal.ts'
import type { Invocation } from '../command.ts'
import { view } from './rules.ts'

/** Read as it was named, so that messages name it so. */
function read(gw: Invocation, file: string) {
  const cwd = gw.shell.cwd()
  return readRuleFile(
    path.isAbsolute(file) || path.resolve(file) === path.resolve(cwd, file) ? file : path.resolve(cwd, file),
  )
}

export async function importFile(gw: Invocation, file: string): Promise<void> {
  const found = read(gw, file)
  if (found.rules.length === 0) throw new Refusal('usage', `${file} has no rules; they stand in a list under "rules:"`)
  const done = await gw.write(async db => {
    for (const { fields, at } of found.rules) await checkNames(db, fields, `${at} `)
    return importRules(db, found)
  })
  gw.out.list(
    done.map(({ rule, change }) => ({ ...rule, change })),
    ({ change, ...rule }) => {
      const { id, name, fires, severity } = view(rule)
      return { id, name, change, fires, severity }
    },
    '',
  )
}

export function checkFiles(gw: Invocation, files: readonly string[]): number {
  const mistakes: string[] = []
  const whole = files.flatMap(file => {
    try {
      return [read(gw, file)]
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      mistakes.push(error.message)
      return []
    }
  })
  if (mistakes.length > 0) throw new Refusal('config', mistakes.join('\n'))
  // Tests alone are of the rules that gw comes with.
  if (whole.every(file => file.rules.length === 0)) whole.unshift(shippedRules())
  const rules = whole.reduce((sum, file) => sum + file.rules.length, 0)
  const tests = checkRules(whole)
  const failed = tests.filter(test => !test.passed)
  const said = failed.flatMap(({ test, problems }) => [`failed: ${test}`, ...problems.map(problem => `  ${problem}`)])
  const count = (n: number, what: string) => `${n} ${what}${n === 1 ? '' : 's'}`
  said.push(
    `${count(rules, 'rule')}, ${count(tests.length, 'test')}${tests.length === 0 ? '' : failed.length === 0 ? ', all passed' : `, ${failed.length} failed`}`,
  )
  gw.out.print({ rules, tests, passed: failed.length === 0 }, said.join('\n'))
  return failed.length === 0 ? 0 : 1
}

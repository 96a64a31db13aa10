// Unit tests of alert rules: recorded series go through the same steps as in a daemon, and what fires must be what was expected.
import { didYouMean } from '../../lib/suggest.ts'
import { formatDuration } from '../../lib/units.ts'
import type { ExpectedEvent, FileRule, FileTest, RuleFile } from './read-file.ts'
import type { Sample } from './series.ts'
import { IDLE_MS, type Memory, nothingKnown, step } from './state.ts'

/** What a test found. */
export interface Checked {
  test: string
  passed: boolean
  /** what differs, each with its place in the file */
  problems: string[]
}

type Happened = Pick<ExpectedEvent, 'atMs' | 'rule' | 'dimension' | 'status'>

/** Runs the tests of files over the rules of all of them. */
export function checkRules(files: readonly RuleFile[]): Checked[] {
  const rules = files.flatMap(file => file.rules)
  return files.flatMap(file => file.tests).map(test => check(test, rules))
}

function check(test: FileTest, rules: readonly FileRule[]): Checked {
  const problems: string[] = []
  const names = rules.map(rule => rule.fields.name)
  const happened: Happened[] = []
  for (const { of, dimension, samples, at } of test.series) {
    const watching = rules.filter(({ fields }) => fields.name === of || fields.metric === of)
    if (watching.length === 0)
      problems.push(
        `${at} "${of}" is neither a rule nor the metric of one${didYouMean(of, [...names, ...rules.map(rule => rule.fields.metric)])}`,
      )
    for (const { fields } of watching) happened.push(...play(fields, dimension, samples, test.intervalMs))
  }
  for (const { rule, at } of test.events)
    if (!names.includes(rule)) problems.push(`${at} no rule "${rule}"${didYouMean(rule, names)}`)
  const left = [...happened]
  for (const expected of test.events) {
    const i = left.findIndex(one => keyOf(one) === keyOf(expected))
    if (i === -1) problems.push(`${expected.at} expected ${keyOf(expected)}, and it did not happen`)
    else left.splice(i, 1)
  }
  for (const one of left.sort((a, b) => a.atMs - b.atMs)) problems.push(`${test.at} not expected: ${keyOf(one)}`)
  return { test: test.name, passed: problems.length === 0, problems }
}

/** `firing of error-rate (platform=openai) at 7m` */
const keyOf = ({ status, rule, dimension, atMs }: Happened): string =>
  `${status} of ${rule}${dimension === '' ? '' : ` (${dimension})`} at ${atMs === 0 ? '0s' : formatDuration(atMs)}`

function play(rule: FileRule['fields'], dimension: string, samples: readonly Sample[], intervalMs: number): Happened[] {
  const terms = { op: rule.op, threshold: rule.threshold, sustained: rule.sustained, cooldownMs: rule.cooldown_ms }
  const happened: Happened[] = []
  let memory: Memory = nothingKnown
  let firing = false
  let gap = false
  for (const [i, sample] of samples.entries()) {
    if (sample === 'missed') {
      gap = true
      continue
    }
    const value = sample === 'none' ? undefined : sample
    const { memory: after, act } = step(terms, memory, { at: i * intervalMs, value, firing, gap })
    memory = after
    gap = false
    if (act === undefined) continue
    firing = act === 'fire'
    happened.push({ atMs: i * intervalMs, rule: rule.name, dimension, status: firing ? 'firing' : 'resolved' })
  }
  return happened
}

/** For docs and help: how long nothing must be measured before what fires is over. */
export const idleAfter = formatDuration(IDLE_MS)

// gw alert rule: its verbs and their options.
import type { Command } from 'commander'
import type { Filters, RuleFields } from '../../core/alert/rule.ts'
import { type Severity, severities } from '../../db/schema-watch.ts'
import { Refusal } from '../../lib/refusal.ts'
import { parseDuration } from '../../lib/units.ts'
import type { Act } from '../command.ts'
import { destroys, examples, lists, writes } from '../declare.ts'
import * as read from '../values.ts'

/** The options of add and set. */
export interface RuleOptions {
  metric?: string
  op?: string
  threshold?: number
  window?: number
  sustained?: number
  cooldown?: number
  severity?: Severity
  where?: Filters
  notify?: string[]
  fallback?: read.OrNone<string>
  description?: string
}

/** Their words as the fields of a rule, with null for `none`; what belongs to no rule, as --dry-run, is left out. */
export function fieldsOf(options: RuleOptions & { name?: string }): Partial<RuleFields> {
  const { name, metric, op, threshold, window, sustained, cooldown, severity, where, notify, fallback, description } =
    options
  const terms = { name, metric, op, threshold, sustained, severity, where, notify, fallback, description }
  return read.given({ ...terms, window_minutes: window, cooldown_ms: cooldown }) as Partial<RuleFields>
}

function threshold(text: string): number {
  const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN
  if (Number.isFinite(value)) return value
  throw new Refusal('usage', `--threshold must be a number such as 5, 0.5 or -1, got ${JSON.stringify(text)}`)
}

function minutes(text: string): number {
  const ms = parseDuration(text)
  if (ms !== undefined && ms % 60_000 === 0) return ms / 60_000
  throw new Refusal('usage', `--window must be whole minutes such as 1m or 5m, got ${JSON.stringify(text)}`)
}

/** Collects `NAME=VALUE`, several with commas; `none` empties them. */
function where(text: string, before: Filters = {}): Filters {
  if (text === 'none') return {}
  const pairs = text.split(',').map(pair => {
    const [, name, value] = /^\s*([^=\s]+)=(.+?)\s*$/.exec(pair) ?? []
    if (name !== undefined && value !== undefined) return [name, value]
    throw new Refusal(
      'usage',
      `--where must be NAME=VALUE, several separated by commas, such as platform=openai,account=*, got ${JSON.stringify(text)}`,
    )
  })
  return { ...before, ...(Object.fromEntries(pairs) as Filters) }
}

function terms(command: Command): Command {
  return command
    .option('--metric <metric>', 'what is watched; gw alert rule metrics lists them')
    .option('--op <operator>', "how it is compared: '>' '>=' '<' '<=' '==' '!='")
    .option('--threshold <number>', 'with what, in the unit of the metric', threshold)
    .option('--window <minutes>', 'over how long it is measured; default: 1m', minutes)
    .option('--sustained <n>', 'how many evaluations in a row; default: 1', read.whole('--sustained', 1, 1000))
    .option('--cooldown <duration>', 'from one firing to the next at least; default: 10m', read.duration('--cooldown'))
    .option(
      '--severity <severity>',
      `how bad it is: ${severities.join(' ')}; default: P1`,
      read.oneOf<Severity>('--severity', severities),
    )
    .option(
      '--where <filters>',
      'only of these: platform=, group=, model=, account=, node=; * is each by itself',
      where,
    )
    .option('--notify <channel...>', 'only these channels; default: all, none: all again', read.several())
    .option(
      '--fallback <channel>',
      'who is told when one of them does not take it, or none',
      read.orNone(text => text),
    )
    .option('--description <text>', 'what it means, for whoever is told')
}

export function defineRules(alert: Command, act: Act): void {
  const noun = alert
    .command('rule')
    .description('Rules say what is watched and when it fires. They are evaluated every ops.interval.')
  examples(noun, [
    "gw alert rule add errors --metric error_rate --op '>' --threshold 5 --window 5m --sustained 2 --where platform=*",
    'gw alert rule set ttft-slow --threshold 10000',
    'gw alert rule check ./alerts.yaml && gw alert rule import ./alerts.yaml',
  ])
  const verbs = () => import('./rules.ts')

  terms(writes(noun.command('add')))
    .description('add a rule')
    .argument('<name>')
    .option('--disabled', 'it is not evaluated until it is enabled')
    .action(
      act(async (gw, name: string, options: RuleOptions & { disabled?: boolean }) =>
        (await verbs()).add(gw, name, options),
      ),
    )

  lists(noun.command('list'))
    .description('every rule, and what its metric was last')
    .action(act(async gw => (await verbs()).list(gw)))

  noun
    .command('show')
    .description('one rule, with its states and the evaluations that were missed')
    .argument('<rule>', 'name or number')
    .action(act(async (gw, ref: string) => (await verbs()).show(gw, ref)))

  terms(writes(noun.command('set')))
    .description(
      'change a rule; what fires of it ends when its condition changes. Of a shipped rule it stands after an upgrade, too',
    )
    .argument('<rule>', 'name or number')
    .option('--name <name>', 'a new name')
    .action(
      act(async (gw, ref: string, options: RuleOptions & { name?: string }) => (await verbs()).set(gw, ref, options)),
    )

  for (const [verb, enabled] of [
    ['enable', true],
    ['disable', false],
  ] as const)
    writes(noun.command(verb))
      .description(enabled ? 'evaluate a rule again' : 'evaluate a rule no more; what fires of it ends')
      .argument('<rule...>', 'names or numbers')
      .action(act(async (gw, refs: string[]) => (await verbs()).enable(gw, refs, enabled)))

  destroys(noun.command('rm'))
    .description('take a rule away; what fired of it stays in the list')
    .argument('<rule>', 'name or number')
    .action(act(async (gw, ref: string) => (await verbs()).rm(gw, ref)))

  writes(noun.command('import'))
    .description('take the rules of a file as rules of yours; those of the same name become what it says')
    .argument('<file>', 'of the shape of config/alerts.yaml')
    .action(act(async (gw, file: string) => (await import('./files.ts')).importFile(gw, file)))

  noun
    .command('check')
    .description('read files of rules, and run the tests in them; exit code 3 for a mistake, 1 for a test that fails')
    .argument('<file...>', 'of the shape of config/alerts.yaml and config/alerts.test.yaml')
    .action(act(async (gw, files: string[]) => (await import('./files.ts')).checkFiles(gw, files)))

  lists(noun.command('metrics'))
    .description('what rules can watch, in which unit, and by what it can be narrowed')
    .action(act(async gw => (await verbs()).listMetrics(gw)))
}

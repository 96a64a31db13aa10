// gw alert: what fires and what was told of it, silences, and the rules by which it is decided.
import type { Command } from 'commander'
import type { EventFilter } from '../../core/alert/event.ts'
import { type Severity, severities } from '../../db/schema-watch.ts'
import { actor } from '../actor.ts'
import { defineChannels } from '../alert/channel.ts'
import { defineRules } from '../alert/rule.ts'
import type { Act } from '../command.ts'
import { examples, lists, writes } from '../declare.ts'
import type { ListOptions } from '../format.ts'
import * as read from '../values.ts'

const severity = read.oneOf<Severity>('--severity', severities)
const number = (text: string) => read.whole('ID', 1, read.LARGEST)(text)

export function define(noun: Command, act: Act): void {
  noun.description('Alerts are rules over what gw measures of itself; what fires is told to channels.')
  examples(noun, [
    'gw alert list --firing',
    "gw alert rule add many-errors --metric error_rate --op '>' --threshold 5 --window 5m --sustained 2",
    'gw alert silence --severity P2 --for 2h',
  ])

  lists(noun.command('list'))
    .description('what fires and what fired, the newest first, and how telling it went')
    .option('--firing', 'only what fires now')
    .option('--since <when>', 'only what fired or ended since: a duration back, or a date', read.since('--since'))
    .option('--rule <rule>', 'only of this rule, by name')
    .option('--severity <severity>', `only ${severities.join(', ')}`, severity)
    .option('--limit <n>', 'at most so many; default: 50', read.whole('--limit', 1, 10_000))
    .option('--before <id>', 'only those with a smaller id: the next page', read.whole('--before', 1, read.LARGEST))
    .action(
      act(async (gw, { output, columns, headers, ...filter }: ListOptions & EventFilter) => {
        await (await import('../alert/events.ts')).list(gw, filter)
      }),
    )

  noun
    .command('show')
    .description('one alert with all that was told of it')
    .argument('<id>', 'as gw alert list shows it', number)
    .action(
      act(async (gw, id: number) => {
        await (await import('../alert/events.ts')).show(gw, id)
      }),
    )

  writes(noun.command('ack'))
    .description('say that somebody looks after it; it fires on')
    .argument('<id>', 'as gw alert list shows it', number)
    .option('--note <text>', 'why, for the others', read.note)
    .action(
      act(async (gw, id: number, { note }: { note?: string }) => {
        await (await import('../alert/events.ts')).ack(gw, id, { by: actor(gw.shell), note })
      }),
    )

  writes(noun.command('resolve'))
    .description('end it by hand; while its condition holds it fires again after the cooldown')
    .argument('<id>', 'as gw alert list shows it', number)
    .option('--note <text>', 'why, for the others', read.note)
    .action(
      act(async (gw, id: number, { note }: { note?: string }) => {
        await (await import('../alert/events.ts')).resolve(gw, id, { by: actor(gw.shell), note })
      }),
    )

  writes(noun.command('silence'))
    .description(
      'tell nothing for a while: what fires is recorded only, and told when the silence ends and it still does',
    )
    .option('--rule <rule>', 'only of this rule, by name or number')
    .option('--severity <severity>', `only ${severities.join(', ')}`, severity)
    .requiredOption('--for <duration>', 'for how long, or until when', read.until('--for'))
    .option('--note <text>', 'why, for the others', read.note)
    .action(
      act(async (gw, options: { rule?: string; severity?: Severity; for: Date; note?: string }) => {
        await (await import('../alert/silences.ts')).silence(gw, {
          ...options,
          until: options.for,
          by: actor(gw.shell),
        })
      }),
    )

  lists(noun.command('silences'))
    .description('what is silenced now')
    .option('--all', 'and the silences that are over')
    .action(
      act(async (gw, { all }: ListOptions & { all?: boolean }) => {
        await (await import('../alert/silences.ts')).silences(gw, all === true)
      }),
    )

  writes(noun.command('unsilence'))
    .description('end a silence now')
    .argument('<id>', 'as gw alert silences shows it', number)
    .action(
      act(async (gw, id: number) => {
        await (await import('../alert/silences.ts')).unsilence(gw, id)
      }),
    )

  writes(noun.command('test'))
    .description('what the value of a rule is now, and whether it would fire; tells nobody unless --notify')
    .argument('<rule>', 'name or number')
    .option('--notify', "send a test notice to the rule's channels")
    .action(
      act(async (gw, ref: string, { notify }: { notify?: boolean }) => {
        await (await import('../alert/test.ts')).test(gw, ref, notify === true)
      }),
    )

  defineRules(noun, act)
  defineChannels(noun, act)
}

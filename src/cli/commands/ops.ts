// gw ops: what gw sees of itself.
import type { Command } from 'commander'
import type { DimensionName, Sort } from '../../core/watch/dimensions.ts'
import type { Act } from '../command.ts'
import { examples, lists } from '../declare.ts'
import type { DimensionsOptions } from '../ops/dimensions.ts'
import * as read from '../values.ts'

// core/watch has these lists too, but importing it costs --help its time; the types keep them the same.
const dimensions = ['account', 'model', 'user', 'key', 'platform', 'group', 'path'] as const satisfies DimensionName[]
const sorts = ['requests', 'errors', 'error_rate', 'tokens', 'cost', 'name'] as const satisfies Sort[]

function spanOptions(command: Command, fallback: string): Command {
  return command
    .option('--since <when>', `a duration back, or a date; default: ${fallback}`, read.since('--since'))
    .option('--until <when>', 'a duration back, or a date; default: now', read.since('--until'))
}

export function define(noun: Command, act: Act): void {
  noun.description('What gw sees of itself, from sums of minutes, hours and days; it needs no running daemon.')
  examples(noun, ['gw ops dimensions --by account --since 6h'])

  spanOptions(lists(noun.command('dimensions')), '24h')
    .description('figures by account, model, user, key, platform, group or path')
    .option('--by <what>', `${dimensions.join(', ')}; default: account`, read.oneOf('--by', dimensions))
    .option(
      '--sort <what>',
      `the most of it first: ${sorts.join(', ')}; default: requests`,
      read.oneOf('--sort', sorts),
    )
    .option('--limit <n>', 'at most so many; default: 50', read.whole('--limit', 1, 1000))
    .option('--offset <n>', 'those behind the first n: the next page', read.whole('--offset', 0, 1_000_000))
    .action(
      act(async (gw, options: DimensionsOptions) => {
        const { dimensions } = await import('../ops/dimensions.ts')
        await dimensions(gw, options)
      }),
    )
}

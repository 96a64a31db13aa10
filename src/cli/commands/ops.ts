// gw ops: what gw sees of itself.
import type { Command } from 'commander'
import type { ErrorKey } from '../../core/errors/read.ts'
import type { DimensionName, Sort } from '../../core/watch/dimensions.ts'
import type { HistoryAsked } from '../../core/watch/history.ts'
import type { Range } from '../../core/watch/range.ts'
import type { ErrorOwner, ErrorPhase, Severity } from '../../db/schema-watch.ts'
import type { Act } from '../command.ts'
import { examples, lists, writes } from '../declare.ts'
import type { ListOptions } from '../format.ts'
import type { DimensionsOptions } from '../ops/dimensions.ts'
import type { ErrorsOptions } from '../ops/errors.ts'
import type { Filters, Span } from '../ops/figures.ts'
import type { HistoryOptions } from '../ops/history.ts'
import * as read from '../values.ts'

// core/watch has these lists too, but importing it costs --help its time; the types keep them the same.
const dimensions = ['account', 'model', 'user', 'key', 'platform', 'group', 'path'] as const satisfies DimensionName[]
const sorts = ['requests', 'errors', 'error_rate', 'tokens', 'cost', 'name'] as const satisfies Sort[]
const ranges = ['5m', '30m', '1h', '6h', '24h'] as const satisfies Range[]
const windows = ['1', '5', '1m', '5m', '1h', '1d'] as const satisfies HistoryAsked['window'][]
const phases = [
  'request',
  'auth',
  'billing',
  'concurrency',
  'routing',
  'upstream',
  'network',
  'internal',
] as const satisfies ErrorPhase[]
const owners = ['client', 'provider', 'platform'] as const satisfies ErrorOwner[]
const severities = ['P0', 'P1', 'P2', 'P3'] as const satisfies Severity[]
const errorKeys = [
  'message',
  'code',
  'status',
  'phase',
  'owner',
  'severity',
  'cause',
  'platform',
  'model',
  'path',
  'upstream',
  'user',
  'key',
  'group',
  'account',
] as const satisfies ErrorKey[]

function spanOptions(command: Command, fallback: string): Command {
  return command
    .option('--since <when>', `a duration back, or a date; default: ${fallback}`, read.since('--since'))
    .option('--until <when>', 'a duration back, or a date; default: now', read.since('--until'))
}

function rangeOptions(command: Command): Command {
  return spanOptions(
    command.option('--range <range>', `the last ${ranges.join(', ')}; default: 1h`, read.oneOf('--range', ranges)),
    '1h',
  )
}

function filterOptions(command: Command): Command {
  for (const name of dimensions)
    command.option(`--${name} <${name}>`, name === 'path' ? 'only of this class of paths' : `only of this ${name}`)
  return command
}

export function define(noun: Command, act: Act): void {
  noun.description('What gw sees of itself, from sums of minutes, hours and days; only watch needs a running daemon.')
  examples(noun, [
    'gw ops health',
    'gw ops overview --range 6h',
    'gw ops history --since 30d --account main',
    'gw ops dimensions --by model --sort cost --since 7d',
    'gw ops retention set error_log 90d',
    'gw ops errors --since 1h --owner provider',
    'gw ops errors --by message --no-recovered',
  ])

  filterOptions(rangeOptions(noun.command('overview')))
    .description('the first look: rates, latency, errors, resources, and the day before')
    .action(
      act(async (gw, options: Filters & Span) => {
        const { overview } = await import('../ops/overview.ts')
        await overview(gw, options)
      }),
    )

  filterOptions(spanOptions(lists(noun.command('history')), '24h'))
    .description('the past in windows, the oldest first')
    .option(
      '--window <length>',
      '1m, 5m (1 and 5 alone are minutes), 1h or 1d; default: the shortest that fits into --limit',
      read.oneOf('--window', windows),
    )
    .option(
      '--limit <n>',
      'the newest n windows, up to 5000; default: 300, without --since 1440',
      read.whole('--limit', 1, 5000),
    )
    .action(
      act(async (gw, options: HistoryOptions) => {
        const { history } = await import('../ops/history.ts')
        await history(gw, options)
      }),
    )

  rangeOptions(lists(noun.command('providers')))
    .description('how each platform does, with a word for it and the reason')
    .action(
      act(async (gw, options: ListOptions & Span) => {
        const { providers } = await import('../ops/providers.ts')
        await providers(gw, options)
      }),
    )

  filterOptions(rangeOptions(noun.command('latency')))
    .description('how long answers took, and how long their first tokens')
    .action(
      act(async (gw, options: Filters & Span) => {
        const { latency } = await import('../ops/latency.ts')
        await latency(gw, options)
      }),
    )

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

  spanOptions(lists(noun.command('errors')), '24h, with --request all')
    .description('what failed, the newest first; or with --by what is most frequent')
    .option('--by <what>', `count them by ${errorKeys.join(', ')}`, read.oneOf('--by', errorKeys))
    .option('--account <account>', 'only where this account failed, or was asked last')
    .option('--user <user>', 'only of this user')
    .option('--key <key>', 'only of this key')
    .option('--group <group>', 'only of this group')
    .option('--platform <platform>', 'only of this platform')
    .option('--model <model>', 'only of this model, as it was requested')
    .option('--phase <phase>', phases.join(', '), read.oneOf('--phase', phases))
    .option('--owner <owner>', `whose fault: ${owners.join(', ')}`, read.oneOf('--owner', owners))
    .option('--severity <severity>', severities.join(', '), read.oneOf('--severity', severities))
    .option('--code <code>', 'only with this code, such as UPSTREAM_OVERLOADED')
    .option('--cause <cause>', "only with this cause in Envoy's words, such as UF")
    .option('--status <status>', 'only with this status', read.whole('--status', 100, 599))
    .option('--request <id>', 'only of this request')
    .option('--recovered', 'only those that another account saved, of which clients saw nothing')
    .option('--no-recovered', 'only those that clients saw')
    .option('--q <text>', 'only with this text in the message, the model, the id or what the upstream said')
    .option('--limit <n>', 'at most so many; default: 50, with --by 20', read.whole('--limit', 1, 1000))
    .option('--before <cursor>', 'those behind the last of another list, which named this cursor')
    .action(
      act(async (gw, options: ErrorsOptions) => {
        const { errors } = await import('../ops/errors.ts')
        await errors(gw, options)
      }),
    )

  noun
    .command('health')
    .description('one number from 0 to 100, and the reason for each point that it lacks')
    .option('--since <when>', 'a duration back, or a date, at most 24h; default: 5m', read.since('--since'))
    .action(
      act(async (gw, options: { since?: Date }) => {
        const { health } = await import('../ops/health.ts')
        await health(gw, options)
      }),
    )

  const retention = lists(noun.command('retention'))
    .description('how long what is kept, and how the last run went; it is made daily, and at the start of a daemon')
    .action(
      act(async gw => {
        const { list } = await import('../ops/retention.ts')
        await list(gw)
      }),
    )
  writes(retention.command('set'))
    .description('keep something longer or shorter than the settings say, from the next run on')
    .argument('<name>', 'as gw ops retention lists it')
    .argument('<span>', '1d and more, 0s for ever, or default: as the settings say')
    .action(
      act(async (gw, name: string, span: string) => {
        const { set } = await import('../ops/retention.ts')
        await set(gw, name, span)
      }),
    )

  noun
    .command('watch')
    .description('the running daemon live, one line a second, through its restarts; --json: an object a line')
    .option('-n, --count <n>', 'so many lines; default: until Ctrl-C', read.whole('-n', 1, 1_000_000))
    .action(
      act(async (gw, options: { count?: number }) => {
        const { watch } = await import('../ops/watch.ts')
        await watch(gw, options)
      }),
    )
}

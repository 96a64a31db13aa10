// gw usage: what was used, by whom, and what it cost.
import type { Command } from 'commander'
import type { UsageFilter } from '../../core/usage/filter.ts'
import type { UsageRecord } from '../../core/usage/rows.ts'
import type { Dimension, UsageStats } from '../../core/usage/stats.ts'
import { Refusal } from '../../lib/refusal.ts'
import type { Act } from '../command.ts'
import { examples, lists } from '../declare.ts'
import type { ListOptions } from '../format.ts'
import * as read from '../values.ts'

// core/usage-stats.ts has this list too, but importing it costs 100 ms of --help; the type keeps the two the same.
const dimensions = ['user', 'key', 'account', 'model', 'group', 'day', 'hour', 'minute'] as const satisfies Dimension[]

const MONTH = 30 * 86_400_000
const HOUR = 3_600_000
const PAGE = 5_000

const row = (u: UsageRecord) => ({
  at: u.at,
  request: u.request_id,
  user: u.user,
  key: u.key,
  account: u.account,
  model: u.model,
  status: u.status,
  in: u.input_tokens,
  out: u.output_tokens,
  'cache w': u.cache_write_5m_tokens + u.cache_write_30m_tokens + u.cache_write_1h_tokens + u.cache_write_12h_tokens,
  'cache r': u.cache_read_tokens,
  charged: u.charged,
  partial: u.partial,
  ms: u.duration_ms,
  'first ms': u.first_token_ms,
})

// Whose request, which, and what it came to: that stays longest.
const less = [
  'first ms',
  'cache w',
  'cache r',
  'ms',
  'partial',
  'key',
  'account',
  'in',
  'out',
  'user',
  'status',
  'model',
  'at',
]

const sums = (s: UsageStats) => ({
  name: s.name,
  requests: s.requests,
  errors: s.errors,
  in: s.input_tokens,
  out: s.output_tokens,
  'cache w': s.cache_write_tokens,
  'cache r': s.cache_read_tokens,
  cost: s.cost,
  charged: s.charged,
  ms: s.duration_ms,
  'first ms': s.first_token_ms,
})

function filterOptions(command: Command, sinceDefault: string): Command {
  return command
    .option('--since <when>', `a duration back, or a date; default: ${sinceDefault}`, read.since('--since'))
    .option('--until <when>', 'what began before: a duration back, or a date; default: now', read.since('--until'))
    .option('--user <user>', 'only of this user')
    .option('--key <key>', 'only of this key')
    .option('--account <account>', 'only of this account')
    .option('--group <group>', 'only of this group')
    .option('--model <model>', 'only of this model, as it was requested')
}

export function define(noun: Command, act: Act): void {
  noun.description('Usage is one row a request.')
  examples(noun, [
    'gw usage list --since 1h --user alice',
    'gw usage stats --by day --since 7d',
    'gw usage export --since 2026-10-01 --until 2026-11-01 --output october.csv',
  ])

  filterOptions(lists(noun.command('list')), 'all there is')
    .description('the newest requests first')
    .option('--limit <n>', 'at most so many; default: 50', read.whole('--limit', 1, 1_000_000))
    .option('--before <cursor>', 'those behind the last of another list, which named this cursor')
    .option('--all', 'all there are, page after page; with --json an object a line')
    .action(
      act(async (gw, options: UsageFilter & ListOptions & { limit?: number; before?: string; all?: boolean }) => {
        const { limit = 50, before, all = false, output, columns, headers, ...filter } = options
        if (all && options.limit !== undefined)
          throw new Refusal('usage', '--all and --limit exclude each other; give one of them')
        const { cursorOf, listUsage, readCursor } = await import('../../core/usage/rows.ts')
        const db = await gw.db()
        let place = before === undefined ? undefined : readCursor(before)
        if (!all) {
          const rows = await listUsage(db, { ...filter, before: place, limit })
          gw.out.list(rows, row, 'no usage yet', less)
          if (rows.length === limit) gw.out.note(`next page: ${nextPage(options, cursorOf(rows.at(-1)!))}`)
          return
        }
        const [{ jsonLine }, { told }] = await Promise.all([import('../export.ts'), import('../told.ts')])
        for (let first = true; ; first = false) {
          const rows = await listUsage(db, { ...filter, before: place, limit: PAGE })
          if (gw.out.json && !(await told(gw.shell.stdout, rows.map(jsonLine).join('')))) return
          if (!gw.out.json && (first || rows.length > 0)) gw.out.list(rows, row, 'no usage yet', less)
          if (rows.length < PAGE || gw.shell.stdout.destroyed) return
          place = rows.at(-1)!
        }
      }),
    )

  filterOptions(lists(noun.command('stats')), '30d, by minute 1h')
    .description('sums, the dearest first; days, hours and minutes in their order (UTC)')
    .option('--by <what>', `${dimensions.join(', ')}; default: user`, read.oneOf('--by', dimensions))
    .action(
      act(async (gw, options: UsageFilter & ListOptions & { by?: Dimension }) => {
        const { usageStats } = await import('../../core/usage/stats.ts')
        const { by = 'user', since, output, columns, headers, ...filter } = options
        const end = filter.until?.getTime() ?? Date.now()
        const from = since ?? new Date(Math.max(0, end - (by === 'minute' ? HOUR : MONTH)))
        const { rows, note } = await usageStats(await gw.db(), { ...filter, since: from, by })
        // A default is nothing that was asked for, and so nothing to be told about.
        if (note !== undefined && (since || filter.until)) gw.out.note(note)
        gw.out.list(rows, sums, 'no usage yet', ['first ms', 'ms', 'cache w', 'cache r', 'errors', 'in', 'out'])
      }),
    )

  const exporting = filterOptions(noun.command('export'), 'all there is')
    .description('every row, the oldest first, as the books stand at the start')
    .option(
      '--format <format>',
      'csv, ndjson; default: csv, with --json ndjson',
      read.oneOf('--format', ['csv', 'ndjson']),
    )
    .option('--output <file>', 'write this file, which is there only when it is whole; default: stdout')
    .option('--progress', 'tell how far it is on stderr, even when that is no terminal')
    .action(
      act(async (gw, options: UsageFilter & { format?: 'csv' | 'ndjson'; output?: string; progress?: boolean }) => {
        const { format = gw.out.json ? 'ndjson' : 'csv', output, progress = false, ...filter } = options
        if (gw.out.json && format === 'csv') throw new Refusal('usage', '--json and --format csv exclude each other')
        const { exportUsage } = await import('../export.ts')
        await exportUsage({
          db: await gw.db(),
          shell: gw.shell,
          filter,
          format,
          output,
          progress,
          note: gw.out.note,
          page: PAGE,
        })
      }),
    )
  exporting.addHelpText(
    'after',
    `
CSV is as RFC 4180 has it, with a header line. Names and models come from people and clients: a text that a spreadsheet
would take for a formula (it begins with = + - @ or a tab) gets a ' in front. NDJSON has every text as it is.`,
  )
}

/** The command line that lists what comes next. */
function nextPage(options: ListOptions & object, cursor: string): string {
  const { output, columns, headers, ...filter } = options
  const words = Object.entries<unknown>({ ...filter, before: cursor }).flatMap(([name, value]) => {
    return value === undefined ? [] : [`--${name}`, value instanceof Date ? value.toISOString() : String(value)]
  })
  if (output) words.push('-o', output.format)
  if (columns) words.push('--columns', columns.join(','))
  if (!headers) words.push('--no-headers')
  return [
    'gw usage list',
    ...words.map(word => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)),
  ].join(' ')
}

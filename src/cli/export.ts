// Writes usage rows out by the million: CSV or an object a line, to stdout or into a file that is there only when it is whole.
import { rmSync } from 'node:fs'
import { type FileHandle, open, rename, stat } from 'node:fs/promises'
import path from 'node:path'
import { resolve, type UsageFilter } from '../core/usage/filter.ts'
import { type UsageRecord, usagePages } from '../core/usage/rows.ts'
import type { Database } from '../db/connect.ts'
import { formatUsd } from '../lib/money.ts'
import { Refusal } from '../lib/refusal.ts'
import { why } from '../lib/why.ts'
import { csvField } from './csv.ts'
import type { Shell } from './shell.ts'
import { told } from './told.ts'

const columns = [
  'request_id',
  'at',
  'user',
  'key',
  'group',
  'account',
  'platform',
  'model',
  'upstream_model',
  'stream',
  'status',
  'input_tokens',
  'output_tokens',
  'cache_write_5m_tokens',
  'cache_write_1h_tokens',
  'cache_read_tokens',
  'web_searches',
  'mode',
  'cost',
  'charged',
  'billing',
  'duration_ms',
  'first_token_ms',
  'partial',
  'geo',
  'cache_write_30m_tokens',
  'cache_write_12h_tokens',
] as const satisfies (keyof UsageRecord)[]

/** One JSON object and a line end; money as decimal USD. */
export function jsonLine(record: object): string {
  return `${JSON.stringify(record, (_, value) => (typeof value === 'bigint' ? formatUsd(value) : value))}\n`
}

const csvHeader = `${columns.join(',')}\r\n`

function csvLine(record: UsageRecord): string {
  return `${columns.map(column => csvField(record[column])).join(',')}\r\n`
}

/** @throws Refusal `missing` for a name that nobody has, `failure` when the file cannot be written */
export async function exportUsage(options: {
  db: Database['db']
  shell: Shell
  filter: UsageFilter
  format: 'csv' | 'ndjson'
  output: string | undefined
  progress: boolean
  note: (text: string) => void
  /** rows held in memory at once */
  page: number
}): Promise<void> {
  const { db, shell, filter, format, output, page } = options
  const line = format === 'csv' ? csvLine : jsonLine
  const file = output === '-' ? undefined : output
  const progress = meter(options)
  // The command is being left already, but its connection is ours until we let go of it.
  let left = false
  const leave = () => {
    left = true
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) shell.on(signal, leave)
  try {
    await db
      .transaction()
      .setIsolationLevel('repeatable read')
      .setAccessMode('read only')
      .execute(async tx => {
        const known = await resolve(tx, filter)
        // Only now: a name that nobody has leaves no file and no heading behind.
        const target = file === undefined ? undefined : await whole(shell, file)
        const write = target?.write ?? (text => told(shell.stdout, text))
        if (format === 'csv' && !(await write(csvHeader))) return
        for await (const rows of usagePages(tx, known, page)) {
          if (left || !(await write(rows.map(line).join('')))) return
          progress.count(rows.length)
        }
        if (left) return
        await target?.done()
        progress.end()
      })
  } finally {
    for (const signal of signals) shell.off(signal, leave)
  }
}

/** A file under a name of its own until it is done; one that is not is removed at the end of the command, however it ends. */
async function whole(shell: Shell, output: string) {
  const file = path.resolve(shell.cwd(), output)
  const making = `${file}.${process.pid}.tmp`
  const refuse = (error: unknown): never => {
    throw new Refusal('failure', `--output ${output} cannot be written: ${why(error)}`, { cause: error })
  }
  if ((await stat(file).catch(() => undefined))?.isDirectory())
    throw new Refusal('failure', `--output ${output} is a folder; name a file in it`)
  const handle: FileHandle = await open(making, 'wx', 0o600).catch(refuse)
  shell.once('exit', () => rmSync(making, { force: true }))
  return {
    write: (text: string): Promise<boolean> => handle.writeFile(text).then(() => true, refuse),
    async done() {
      await handle.sync().catch(refuse)
      await handle.close()
      await rename(making, file).catch(refuse)
    },
  }
}

const EVERY_MS = 1000

/** Tells how many rows went out: again and again on one line of a terminal, or a line a second where it was asked for. */
function meter({
  shell: { stdout, stderr },
  output,
  progress,
  note,
}: {
  shell: Shell
  output: string | undefined
  progress: boolean
  note: (text: string) => void
}) {
  const terminal = Boolean(stderr.isTTY) && (progress || output !== undefined || !stdout.isTTY)
  let rows = 0
  let told = performance.now()
  const text = () => `${rows} row${rows === 1 ? '' : 's'}`
  return {
    count(more: number) {
      rows += more
      if (performance.now() - told < (terminal ? EVERY_MS / 10 : EVERY_MS)) return
      told = performance.now()
      if (terminal) stderr.write(`\r${text()}`)
      else if (progress) note(text())
    },
    end() {
      if (terminal) stderr.write('\r')
      if (terminal || progress || output !== undefined) note(`${text()}${output === undefined ? '' : ` in ${output}`}`)
    },
  }
}

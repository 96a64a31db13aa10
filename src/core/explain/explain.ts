// Explains one request: from the files of this node, else from its rows in Postgres; with what else the database has of it.
import type { Db } from '../../db/connect.ts'
import { Refusal } from '../../lib/refusal.ts'
import { formatDuration } from '../../lib/units.ts'
import { within } from '../../lib/within.ts'
import type { Explanation } from './explanation.ts'
import { allFiles, beginOf, findLine, minuteOf } from './files.ts'
import { explanationOfRows } from './from-rows.ts'
import { alertsDuring, type Found, findRows, linksOf } from './links.ts'
import { readExplainLine, readIfWhole } from './read-line.ts'
import { readRequestId } from './request-id.ts'

export interface Sources {
  dataDir: string
  /** how long requests are remembered, ms */
  keepMs: number
  /** the database, or in words why it is not asked */
  db: Db | string
  /** Unix ms */
  now: number
  /** the line of a request that is still under way */
  underWay?: (id: string) => string | undefined
  /** writes into the files what is not yet in them */
  flush?: () => Promise<void>
}

// Postgres may be away: what is in the files is told all the same.
const PATIENCE_MS = 2_000

/** @throws Refusal `usage` for what is no id, `missing` for one that nothing is known of */
export async function explain(text: string, sources: Sources): Promise<Explanation> {
  const { id, at } = readRequestId(text)
  const recorded = await find(id, at, sources)
  const rows = await within(PATIENCE_MS, rowsOf(sources.db, id, at, recorded)).catch((error: Error) => error.message)
  if (recorded) return typeof rows === 'string' ? withoutRows(recorded, rows) : linked(recorded, rows)
  const pieced = typeof rows === 'string' ? undefined : explanationOfRows(id, at, rows.found)
  if (pieced && typeof rows !== 'string') return linked(pieced, rows)
  throw await unknown(id, at, sources, typeof rows === 'string' ? rows : undefined)
}

interface Rows {
  found: Found
  alerts: Awaited<ReturnType<typeof alertsDuring>>
}

async function rowsOf(db: Db | string, id: string, at: number, known: Explanation | undefined): Promise<Rows | string> {
  if (typeof db === 'string') return db
  const found = await findRows(db, id, at, known?.duration_ms ?? null)
  const duration = known?.duration_ms ?? found.usage?.duration_ms ?? found.error?.duration_ms ?? 0
  return { found, alerts: await alertsDuring(db, new Date(at), new Date(at + duration)) }
}

function withoutRows(recorded: Explanation, why: string): Explanation {
  const what = 'Whether there are a usage row, a ledger entry, a row in the error log and alerts is not known'
  return { ...recorded, not_known: [`${what}: ${why}.`] }
}

function linked(known: Explanation, { found, alerts }: Rows): Explanation {
  const links = linksOf(found, alerts)
  const waits = known.source === 'recorded' && known.settlement === 'booked' && !links.usage
  const not_known = waits ? ['Its usage row is not in the database yet: it waits in the spool, or is too old.'] : []
  return { ...known, links, not_known: [...known.not_known, ...not_known] }
}

async function find(id: string, at: number, { dataDir, underWay, flush }: Sources): Promise<Explanation | undefined> {
  const open = underWay?.(id)
  if (open !== undefined) return readExplainLine(id, at, open.slice(open.indexOf(' ') + 1))
  // Only now: one that ends while they are written would be neither under way nor in them.
  await flush?.()
  const minute = minuteOf(at)
  for (const file of (await filesOf(dataDir)).filter(file => file.minute === minute).reverse()) {
    const json = await findLine(file.path, id).catch(unreadable)
    const known = json === undefined ? undefined : readIfWhole(id, at, json)
    if (known) return known
  }
  return undefined
}

export const filesOf = (dataDir: string) => allFiles(dataDir).catch(unreadable)

function unreadable(error: NodeJS.ErrnoException): never {
  const hint = error.code === 'EACCES' ? '; run it as the user that gw runs as' : ''
  throw new Refusal('failure', `what gw remembers of requests cannot be read: ${error.message}${hint}`, {
    cause: error,
  })
}

async function unknown(id: string, at: number, sources: Sources, away: string | undefined): Promise<Refusal> {
  const { now, keepMs, dataDir } = sources
  const began = new Date(at).toISOString()
  if (at > now + 3_600_000)
    return new Refusal(
      'missing',
      `no request ${id} is known: by its id it begins at ${began}, which is still to come; is it an id of gw's?`,
    )
  const [oldest] = (await filesOf(dataDir)).map(({ minute }) => minute).sort()
  const kept =
    keepMs === 0
      ? 'this node remembers none (ops.explain.keep is 0s)'
      : `this node remembers ${oldest === undefined ? 'none yet' : `those since ${new Date(beginOf(oldest)).toISOString()}`} (ops.explain.keep is ${formatDuration(keepMs)})`
  const database =
    away === undefined ? 'nothing of it is in usage and error log either' : `the database was not asked: ${away}`
  return new Refusal('missing', `no request ${id} is known: by its id it began at ${began}; ${kept}, and ${database}`)
}

// The files that lines of requests are kept in: one for each minute in which requests began, which their ids tell.
import { type FileHandle, open, readdir } from 'node:fs/promises'
import path from 'node:path'

/** Where a worker's lines are. */
export const explainFolder = (dataDir: string, worker: number): string => path.join(dataDir, 'explain', String(worker))

export interface ExplainFile {
  readonly path: string
  /** minutes that gw had run when it was begun: a clock that nobody sets, so that the order of files is that of their making */
  readonly lived: number
  /** the minute in which its requests began, as it stands in the name: `20261128T2314` */
  readonly minute: string
}

/** The minute of an instant, Unix ms, in UTC. */
export function minuteOf(at: number): string {
  return new Date(at).toISOString().slice(0, 16).replaceAll(/[-:]/g, '')
}

/** Unix ms at which a minute begins. */
export function beginOf(minute: string): number {
  const [, year, month, day, hour, min] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)$/.exec(minute)!
  return Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(min))
}

const named = /^(\d{9})-(\d{8}T\d{4})\.log$/

export function nameOf({ lived, minute }: Omit<ExplainFile, 'path'>): string {
  return `${String(lived).padStart(9, '0')}-${minute}.log`
}

/** What a name in `folder` says; undefined: it is not ours. */
export function parseName(folder: string, name: string): ExplainFile | undefined {
  const [, lived, minute] = named.exec(name) ?? []
  return minute === undefined ? undefined : { path: path.join(folder, name), lived: Number(lived), minute }
}

/** The files of all workers below a data dir, the oldest first. @throws what the file system says, but for a folder that is not there */
export async function allFiles(dataDir: string): Promise<ExplainFile[]> {
  const root = path.join(dataDir, 'explain')
  const workers = await readdir(root).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const found: ExplainFile[] = []
  for (const folder of workers.filter(name => /^\d+$/.test(name)).map(name => path.join(root, name)))
    for (const name of await readdir(folder)) {
      const file = parseName(folder, name)
      if (file) found.push(file)
    }
  return found.sort((a, b) => a.lived - b.lived || (a.minute < b.minute ? -1 : 1))
}

const CHUNK = 1024 * 1024
const NEWLINE = 10

/** The JSON of a request's line, or undefined when it is not in the file. What stands at the end without a line end was cut off by a crash. */
export async function findLine(file: string, id: string): Promise<string | undefined> {
  const handle = await opened(file)
  if (!handle) return undefined
  const needle = Buffer.from(`${id} `)
  try {
    let buffer = Buffer.allocUnsafe(CHUNK)
    let kept = 0
    for (;;) {
      const { bytesRead } = await handle.read(buffer, kept, buffer.length - kept)
      if (bytesRead === 0) return undefined
      const text = buffer.subarray(0, kept + bytesRead)
      const whole = text.lastIndexOf(NEWLINE) + 1
      for (let at = text.indexOf(needle); at !== -1 && at < whole; at = text.indexOf(needle, at + 1))
        if (at === 0 || text[at - 1] === NEWLINE)
          return text.toString('utf8', at + needle.length, text.indexOf(NEWLINE, at))
      kept = text.length - whole
      text.copyWithin(0, whole)
      if (kept === buffer.length) buffer = Buffer.concat([buffer], kept * 2)
    }
  } finally {
    await handle.close()
  }
}

/** The lines of a file, the last first. */
export async function* linesBackwards(file: string): AsyncGenerator<{ id: string; json: string }> {
  const handle = await opened(file)
  if (!handle) return
  try {
    let rest = Buffer.alloc(0)
    // Behind the last line end stands what was cut off.
    let cut = true
    for (let to = (await handle.stat()).size; to > 0; ) {
      const from = Math.max(0, to - CHUNK)
      const chunk = Buffer.allocUnsafe(to - from)
      await handle.read(chunk, 0, chunk.length, from)
      to = from
      const text = Buffer.concat([chunk, rest])
      let end = text.length
      for (let at = text.lastIndexOf(NEWLINE); at !== -1; at = at === 0 ? -1 : text.lastIndexOf(NEWLINE, at - 1)) {
        const line = cut ? '' : text.toString('utf8', at + 1, end)
        cut = false
        end = at
        if (line !== '') yield split(line)
      }
      rest = text.subarray(0, end)
    }
    if (!cut && rest.length > 0) yield split(rest.toString())
  } finally {
    await handle.close()
  }
}

function split(line: string): { id: string; json: string } {
  const space = line.indexOf(' ')
  return { id: line.slice(0, space), json: line.slice(space + 1) }
}

/** It may be gone since it was listed. */
async function opened(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(file, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

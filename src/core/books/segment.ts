// Segments: the files of the spool, whole lines read from where one was moved to.
import { readSync } from 'node:fs'
import { readLine, type UsageLine } from './line.ts'

/** A part of a segment. */
export interface Stretch {
  file: string
  /** open for reading for as long as anybody has this; it is the same in every thread */
  fd: number
  /** bytes from the beginning of the file: what is before was moved */
  from: number
  to: number
  /** nothing will be appended: when all is moved, it goes */
  over: boolean
}

export interface Read {
  lines: UsageLine[]
  /** how many bytes they take */
  bytes: number
  /** how many line ends are in them */
  ends: number
}

const READ_BYTES = 1024 * 1024
let buffer = Buffer.allocUnsafe(0)

/**
 * Whole lines of a stretch, at most so many; a torn last line (a crash in mid-write) was never acknowledged and is dropped.
 */
export function readLines({ fd, from, to }: Pick<Stretch, 'fd' | 'from' | 'to'>, most: number): Read {
  let length = Math.min(READ_BYTES, to - from)
  for (;;) {
    if (buffer.length < length) buffer = Buffer.allocUnsafe(length)
    const read = readSync(fd, buffer, 0, length, from)
    const lines: UsageLine[] = []
    let at = 0
    let ends = 0
    while (lines.length < most) {
      const end = buffer.indexOf(10, at)
      if (end === -1 || end >= read) break
      // A torn line in the middle: an append failed there (disk full) and went on elsewhere.
      const line = parse(buffer.toString('utf8', at, end))
      if (line) lines.push(line)
      at = end + 1
      ends++
    }
    if (at > 0) return { lines, bytes: at, ends }
    const rest = to - from
    if (length >= rest) return { lines, bytes: rest, ends }
    length = Math.min(length * 4, rest)
  }
}

/** The one whole line of a read, as it stands in the file. */
export function textOf({ fd, from }: Pick<Stretch, 'fd' | 'from'>, { bytes }: Read): string {
  const whole = Buffer.alloc(bytes)
  readSync(fd, whole, 0, bytes, from)
  return whole.toString().split('\n').find(parse)!
}

/** How many line ends there are; of each line it is told. */
export function tellLines(stretch: Stretch, tell: (line: UsageLine) => void): number {
  let told = 0
  for (let from = stretch.from; from < stretch.to; ) {
    const { lines, bytes, ends } = readLines({ ...stretch, from }, Number.POSITIVE_INFINITY)
    for (const line of lines) tell(line)
    from += bytes
    told += ends
  }
  return told
}

function parse(text: string): UsageLine | undefined {
  if (!text.startsWith('{') || !text.endsWith('}')) return undefined
  try {
    return readLine(text)
  } catch {
    return undefined
  }
}

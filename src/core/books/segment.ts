// Segments: the files of the spool, whole lines read from where one was moved to.
import { readSync } from 'node:fs'
import type { UsageLine } from './line.ts'
import { payableLine, readLine } from './read-line.ts'

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
  /** an earlier run wrote to it last, so that its end may be a line which was never finished */
  last: boolean
}

/** A line that cannot be read. */
export interface Damaged {
  why: string
  /** of the file */
  offset: number
  raw: Buffer
  /** where at least its payer and amount can be read */
  payable: UsageLine | undefined
}

export interface Read {
  lines: UsageLine[]
  /** where the last one of `lines` begins, in bytes of the file, and how long it is */
  last: { offset: number; length: number }
  damaged: Damaged[]
  /** how many bytes they take */
  bytes: number
  /** how many line ends are in them */
  ends: number
  /** bytes at the end that are a line which was never finished, and so never acknowledged */
  unfinished: number
}

const READ_BYTES = 1024 * 1024
// A line is longer than a few hundred bytes only where a name in it is; what has no end for so long is none.
const LONGEST = 64 * 1024 * 1024
let buffer = Buffer.allocUnsafe(0)

/** Whole lines of a stretch, at most so many that can be read; the others among them are damaged. */
export function readLines({ fd, from, to, last }: Pick<Stretch, 'fd' | 'from' | 'to' | 'last'>, most: number): Read {
  let length = Math.min(READ_BYTES, to - from)
  const found: Read = { lines: [], last: { offset: 0, length: 0 }, damaged: [], bytes: 0, ends: 0, unfinished: 0 }
  const { lines } = found
  const take = (at: number, end: number) => {
    const text = buffer.toString('utf8', at, end)
    try {
      lines.push(readLine(text))
      found.last = { offset: from + at, length: end - at }
    } catch (error) {
      const raw = Buffer.from(buffer.subarray(at, end))
      found.damaged.push({ why: (error as Error).message, offset: from + at, raw, payable: payableLine(text) })
    }
  }
  for (;;) {
    if (buffer.length < length) buffer = Buffer.allocUnsafe(length)
    const read = readSync(fd, buffer, 0, length, from)
    while (lines.length < most) {
      const end = buffer.indexOf(10, found.bytes)
      if (end === -1 || end >= read) break
      if (end > found.bytes) take(found.bytes, end)
      found.bytes = end + 1
      found.ends++
    }
    if (found.bytes > 0) return found
    const rest = to - from
    if (length >= Math.min(rest, LONGEST)) {
      // No end: what a crash left in mid-write, unless it is damage. A line that lacks nothing but its end is one.
      if (last && read === rest && isBegun(buffer.subarray(0, read))) found.unfinished = read
      else if (read > 0) take(0, read)
      found.bytes = read === rest ? rest : length
      return found
    }
    length = Math.min(length * 4, rest, LONGEST)
  }
}

const START = Buffer.from('{"request_id":"')

/** Whether it is the beginning of a line, and no more. */
function isBegun(tail: Buffer): boolean {
  const common = Math.min(tail.length, START.length)
  if (!tail.subarray(0, common).equals(START.subarray(0, common)) || tail.includes(0)) return false
  try {
    readLine(tail.toString())
    return false
  } catch {
    return true
  }
}

/** The bytes of a line, as they stand in the file. */
export function rawOf({ fd }: Pick<Stretch, 'fd'>, { last }: Read): Buffer {
  const raw = Buffer.alloc(last.length)
  readSync(fd, raw, 0, last.length, last.offset)
  return raw
}

/** How many line ends there are; told of each line that says who pays how much. */
export function tellLines(stretch: Stretch, tell: (line: UsageLine) => void): number {
  let told = 0
  for (let from = stretch.from; from < stretch.to; ) {
    const { lines, damaged, bytes, ends } = readLines({ ...stretch, from }, Number.POSITIVE_INFINITY)
    for (const line of lines) tell(line)
    for (const { payable } of damaged) if (payable) tell(payable)
    from += bytes
    told += ends
  }
  return told
}

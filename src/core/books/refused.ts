// Refused lines: usage that cannot be read or booked is set aside in one file with its reason, until an operator has it tried again or drops it.
import { closeSync, constants, fstatSync, fsyncSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import path from 'node:path'

/** Where they are kept, of all workers of a data dir. */
export const refusedFile = (dataDir: string): string => path.join(dataDir, 'spool', 'refused.jsonl')

/** A line as it is set aside. */
export interface Setting {
  /** in words */
  why: string
  /** where it stood: the segment's name and the byte of its beginning; the same line twice is one. Null: on no disk */
  segment: string | null
  offset: number
  /** as it stood there */
  raw: Buffer
}

/** A line that waits for an operator. */
export interface RefusedLine {
  /** names it: the how-manieth line of the file it is */
  number: number
  /** when it was set aside, ISO 8601; null of those that an older gw kept */
  at: string | null
  why: string
  segment: string | null
  /** as it stood in the spool; bytes that are no text are in `base64` */
  line: string | null
  base64: string | null
}

// The file only grows, so that a daemon and commands need not wait for each other: what became of a line is written behind it.
//
//   {"at":"…","why":"…","segment":"….ndjson","offset":0,"line":"…"}        set aside; or "base64" for "line"
//   {"settled":[1,2],"how":"booked" | "dropped","at":"…","actor":"…"}      what an operator did with those
//
// Whatever else stands in it is a line that an older gw kept as it was.
const { O_RDONLY, O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW } = constants

/** Sets lines aside; when it returns they survive a power cut. @throws when the disk refuses */
export function setAside(file: string, lines: readonly Setting[]): void {
  const at = new Date().toISOString()
  append(
    file,
    lines.map(({ why, segment, offset, raw }) => {
      const line = raw.toString()
      const kept = Buffer.from(line).equals(raw) ? { line } : { base64: raw.toString('base64') }
      return { at, why, segment, offset, ...kept }
    }),
  )
}

/** Writes down what became of lines: they are refused no more. */
export function settleRefused(file: string, numbers: number[], how: 'booked' | 'dropped', actor: string): void {
  append(file, [{ settled: numbers, how, at: new Date().toISOString(), actor }])
}

function append(file: string, entries: readonly object[]): void {
  // Never through a link: the folder may belong to another user than who types the command.
  const fd = openSync(file, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600)
  try {
    const { size } = fstatSync(fd)
    const last = Buffer.alloc(1)
    // Half an entry, of a disk that was full, must not become the beginning of the next one.
    const torn = size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== 10
    const text = Buffer.from((torn ? '\n' : '') + entries.map(entry => `${JSON.stringify(entry)}\n`).join(''))
    for (let written = 0; written < text.length; ) written += writeSync(fd, text, written)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** The lines that wait in a file, the oldest first; none where there is no file. */
export function readRefused(file: string): RefusedLine[] {
  const reader = refusedReader(file)
  reader.read()
  return reader.waiting()
}

/** How many lines wait in a file, for who asks often: only what is new is read. A file that cannot be read counts as it was. */
export function refusedCount(file: string): () => number {
  const reader = refusedReader(file)
  return () => {
    try {
      reader.read()
    } catch {
      // Whoever asks wants to know of more than this.
    }
    return reader.count()
  }
}

function refusedReader(file: string) {
  const waiting = new Map<number, RefusedLine>()
  /** where each stood, so that one which was set aside twice, by a crash in between, is one */
  let seen = new Map<string, number>()
  let number = 0
  let behind = 0
  let inode = 0
  const take = (text: string) => {
    if (text === '') return
    number++
    const entry = parse(text)
    if (entry === undefined) return
    if ('settled' in entry) {
      for (const one of entry.settled) waiting.delete(one)
      return
    }
    const { at, why, segment, offset, line, base64 } = entry
    const place = `${segment} ${offset}`
    if (segment !== null && waiting.has(seen.get(place) ?? 0)) return
    seen.set(place, number)
    waiting.set(number, { number, at, why, segment, line, base64 })
  }
  return {
    waiting: () => [...waiting.values()],
    count: () => waiting.size,
    read() {
      const found = statSync(file, { throwIfNoEntry: false })
      if (found?.ino === inode && found.size === behind) return
      if (found?.ino !== inode || found.size < behind) {
        waiting.clear()
        seen = new Map()
        number = behind = 0
        inode = found?.ino ?? 0
      }
      if (!found) return
      const fd = openSync(file, O_RDONLY | O_NOFOLLOW)
      try {
        const fresh = Buffer.alloc(fstatSync(fd).size - behind)
        const whole = fresh.subarray(0, readSync(fd, fresh, 0, fresh.length, behind)).lastIndexOf(10) + 1
        for (const text of fresh.toString('utf8', 0, whole).split('\n')) take(text)
        behind += whole
      } finally {
        closeSync(fd)
      }
    },
  }
}

type Entry = (Omit<RefusedLine, 'number'> & { offset: number }) | { settled: number[] }

function parse(text: string): Entry | undefined {
  const old = { at: null, why: 'set aside by an older gw', segment: null, offset: 0, line: text, base64: null }
  try {
    const entry = JSON.parse(text) as Partial<Omit<RefusedLine, 'number'> & { offset: number; settled: number[] }>
    if (Array.isArray(entry.settled)) return { settled: entry.settled }
    if (typeof entry.why !== 'string') return old
    const { at = null, why, segment = null, offset = 0, line = null, base64 = null } = entry
    return { at, why, segment, offset, line, base64 }
  } catch {
    // Half an entry of ours, which was written whole later.
    return /^\{"(at|settled)":/.test(text) ? undefined : old
  }
}

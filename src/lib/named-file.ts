// Files that somebody named: regular ones of a size that is no accident, read without waiting and without filling the memory.
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import type { Readable } from 'node:stream'

/** The largest file that an option names, where it says nothing else. */
export const LARGEST_FILE = 1024 * 1024

/**
 * Its text. @throws the system's error where it cannot be opened, or an Error that says what it is instead of a regular file, or
 * how much too large
 */
export function readNamed(file: string, most = LARGEST_FILE): string {
  // Without waiting: a pipe opens when somebody writes to it.
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stats = fstatSync(fd)
    // Of a folder the system has its own words, at the first read.
    if (!stats.isFile() && !stats.isDirectory()) throw new Error(`it is ${kindOf(stats)}, and must be a regular file`)
    if (stats.size > most) throw tooLarge(mebibytes(stats.size), most)
    // Its size may be no word: /proc says 0, and a file can grow.
    let bytes = Buffer.alloc(stats.size + 1)
    let length = 0
    for (;;) {
      const read = readSync(fd, bytes, length, bytes.length - length, null)
      if (read === 0) return bytes.toString('utf8', 0, length)
      length += read
      if (length > most) throw tooLarge('more', most)
      if (length === bytes.length) bytes = Buffer.concat([bytes], Math.min(bytes.length * 2 + 4096, most + 1))
    }
  } finally {
    closeSync(fd)
  }
}

/** All of a stream, stdin say. @throws Error when that is more than `most` bytes */
export async function readStream(stream: Readable, most = LARGEST_FILE): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk as Uint8Array | string)
    length += bytes.length
    if (length > most) throw tooLarge('more', most)
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString()
}

const mebibytes = (bytes: number) => `${Number((bytes / 1024 / 1024).toFixed(1))} MiB`
const tooLarge = (size: string, most: number) => new Error(`it holds ${size}, and may hold ${mebibytes(most)} at most`)

function kindOf(stats: Stats): string {
  if (stats.isFIFO()) return 'a pipe'
  if (stats.isSocket()) return 'a socket'
  return 'a device'
}

// Moving: lines of the spool's segments are booked batch by batch; what is booked is told, and segments that are done go.
import { appendFileSync, rmSync } from 'node:fs'
import { type Booked, isWithoutPartition } from './book.ts'
import type { UsageLine } from './line.ts'
import { readLines, type Stretch, textOf } from './segment.ts'

/** A batch that is behind us. */
export interface Moved {
  file: string
  /** bytes of the file that are moved now */
  to: number
  /** how many line ends were in the batch */
  ends: number
  /** the file is gone */
  gone: boolean
  /** what came of it; nothing where no line was whole, or the only one was refused */
  booked: Booked | undefined
  /** the line that Postgres will never take, and why; and where it is kept */
  refused: { line: UsageLine; why: string; kept: string } | undefined
}

export interface Moving {
  /** where lines are set aside that Postgres will never take */
  refusedFile: string
  /** rows a batch at most */
  batch: number
  /** each line once however often it is sent */
  book: (lines: readonly UsageLine[]) => Promise<Booked>
}

/**
 * Books all lines of the stretches, in their order. `told` hears of every batch before the next one is begun.
 * @throws what keeps the rest; what was told is behind us all the same
 */
export async function move(
  stretches: readonly Stretch[],
  { refusedFile, batch, book }: Moving,
  told: (moved: Moved) => void,
  signal: AbortSignal,
): Promise<void> {
  for (const stretch of stretches) {
    const { file, fd, to, over } = stretch
    let most = batch
    for (let from = stretch.from; ; ) {
      if (signal.aborted) return
      const read = readLines({ fd, from, to }, most)
      const { lines, bytes, ends } = read
      let booked: Booked | undefined
      let refused: Moved['refused']
      try {
        if (lines.length > 0) booked = await book(lines)
      } catch (error) {
        if (!isBadRow(error)) throw error
        // One row that Postgres will never take must not hold up the rest: it is found by halves.
        if (lines.length > 1) {
          most = lines.length >> 1
          continue
        }
        appendFileSync(refusedFile, `${textOf({ fd, from }, read)}\n`, { mode: 0o600 })
        refused = { line: lines[0]!, why: (error as Error).message, kept: refusedFile }
      }
      most = batch
      from += bytes
      const gone = over && from >= to
      if (gone) rmSync(file, { force: true })
      told({ file, to: from, ends, gone, booked, refused })
      if (from >= to) break
    }
  }
}

// Classes 22 and 23 of SQLSTATE: the data itself is at fault; everything else may heal. A partition that was dropped at this
// moment is class 23, too, and made again with the next try.
export function isBadRow(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return /^2[23]/.test(String(code ?? '')) && !isWithoutPartition(error)
}

// Moving: lines of the spool's segments are booked batch by batch; what is booked is told, and segments that are done go.
import { rmSync } from 'node:fs'
import path from 'node:path'
import { type Booked, isWithoutPartition } from './book.ts'
import type { UsageLine } from './line.ts'
import { setAside } from './refused.ts'
import { type Damaged, rawOf, readLines, type Stretch } from './segment.ts'

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
  /** lines that were set aside, since they cannot be read or Postgres will never take them; nothing where there are none */
  refused: RefusedLines | undefined
  /** bytes at the end of the file that are a line which was never finished, and so left out */
  unfinished: number
}

export interface RefusedLines {
  count: number
  /** of the first */
  why: string
  /** where they are kept */
  kept: string
  /** those that say who pays how much */
  payable: UsageLine[]
}

export interface Moving {
  /** where lines are set aside that cannot be read, or that Postgres will never take */
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
    const { file, to, over } = stretch
    let most = batch
    for (let from = stretch.from; ; ) {
      if (signal.aborted) return
      const read = readLines({ ...stretch, from }, most)
      const { lines, damaged, bytes, ends, unfinished } = read
      let booked: Booked | undefined
      try {
        if (lines.length > 0) booked = await book(lines)
      } catch (error) {
        if (!isBadRow(error)) throw error
        // One row that Postgres will never take must not hold up the rest: it is found by halves.
        if (lines.length > 1) {
          most = lines.length >> 1
          continue
        }
        const { offset } = read.last
        damaged.push({ why: (error as Error).message, offset, raw: rawOf(stretch, read), payable: lines[0] })
      }
      // After the others are booked: whatever fails here, or at a crash, those are not booked twice, and this is one line there.
      const refused = damaged.length > 0 ? keep(damaged, path.basename(file), refusedFile) : undefined
      most = batch
      from += bytes
      const gone = over && from >= to
      if (gone) rmSync(file, { force: true })
      told({ file, to: from, ends, gone, booked, refused, unfinished })
      if (from >= to) break
    }
  }
}

function keep(damaged: readonly Damaged[], segment: string, kept: string): RefusedLines {
  setAside(
    kept,
    damaged.map(({ why, offset, raw }) => ({ why, segment, offset, raw })),
  )
  const payable = damaged.flatMap(one => one.payable ?? [])
  return { count: damaged.length, why: damaged[0]!.why, kept, payable }
}

// Classes 22, 23 and 54 of SQLSTATE: the data itself is at fault, or too large; everything else may heal. A partition that was dropped at this
// moment is class 23, too, and made again with the next try.
export function isBadRow(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return /^(2[23]|54)/.test(String(code ?? '')) && !isWithoutPartition(error)
}

// Plays a reply on the socket the way its step wants: late, in drips, held, cut.
import type { ServerResponse } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import type { Page } from './book.ts'
import { compressed, portions } from './bytes.ts'
import type { Reply } from './dialect.ts'
import type { Made } from './script.ts'
import type { Point, Step } from './step.ts'

export interface Scene {
  res: ServerResponse
  page: Page
  made: Made
  step: Step
  /** Names and values in turn of the headers that carry the request id. */
  id: string[]
  /** Resolves at the next release. */
  released(): Promise<void>
  /** Aborts when the client goes away. */
  gone: AbortSignal
}

/** Header names and values in turn, as node takes them. */
export function flat(headers: Record<string, string | string[]>): string[] {
  return Object.entries(headers).flatMap(([name, value]) => [value].flat().flatMap(one => [name, one]))
}

/** The headers that say how the body is sent. `bytes` is its size on the wire. */
export function framing({ stream }: Reply, bytes: number, { encoding, end }: Step): Record<string, string> {
  return {
    ...(encoding && { 'content-encoding': encoding }),
    // A body that ends too early in good order must not have said how long it would be.
    ...(!stream && end === undefined && { 'content-length': String(bytes) }),
  }
}

/** Sends the reply and ends the page. Settles when nothing is left to do, never with an error. */
export async function play(scene: Scene): Promise<void> {
  const { res, page, made, step, gone } = scene
  const { reply } = made
  const left = new Promise<never>((_, reject) => gone.addEventListener('abort', () => reject(gone.reason)))
  left.catch(() => {})
  const orLeft = <T>(done: Promise<T>) => Promise.race([done, left])
  const pause = (ms: number) => wait(ms, undefined, { signal: gone })
  let told = 0
  const usage = () => (told >= reply.billedAfter ? reply.usage : null)

  /** True when the reply broke off here. */
  const breaksAt = async (place: number, { holds, cuts }: Plan): Promise<boolean> => {
    if (holds.has(place)) {
      page.holds()
      await orLeft(scene.released()).finally(page.goesOn)
    }
    const how = cuts.get(place)
    if (how === undefined) return false
    // A reset throws away what the kernel has not sent yet, so everything before it goes first.
    await orLeft(new Promise(resolve => res.socket?.write('', resolve)))
    page.end('cut', usage())
    if (how === 'reset') res.socket?.resetAndDestroy()
    else if (how === 'close') res.socket?.destroySoon()
    else res.end()
    return true
  }

  try {
    const pieces = step.encoding ? await compressed(reply.pieces, step.encoding) : reply.pieces
    const head = step.encoding ? flat({ ...framing(reply, sizeOf(pieces), step), ...reply.headers }) : made.head
    const plan = planOf(step, pieces.length)
    if (step.delayMs) await pause(step.delayMs)
    if (await breaksAt(start, plan)) return
    gone.throwIfAborted()
    res.writeHead(reply.status, [...scene.id, ...head])
    res.flushHeaders()
    page.head(reply.status)

    for (const [index, piece] of pieces.entries()) {
      if (await breaksAt(index, plan)) return
      if (index > 0 && step.gapMs) await pause(step.gapMs)
      const parts = portions(piece, step)
      const closing = index === pieces.length - 1 && !plan.atEnd ? parts.pop() : undefined
      for (const [nth, part] of parts.entries()) {
        if (nth > 0 && step.drip) await pause(step.drip.everyMs)
        // Waiting for each write keeps the pieces apart on the wire, and notices a client that reads no further.
        await orLeft(new Promise<void>(resolve => res.write(part, error => error || resolve())))
        page.sent(part)
      }
      if (closing && parts.length > 0 && step.drip) await pause(step.drip.everyMs)
      told++
      if (closing) page.sent(closing)
      page.event()
      if (closing) return finish(scene, usage(), closing)
    }
    if (await breaksAt(pieces.length, plan)) return
    finish(scene, usage())
  } catch (error) {
    page.end('aborted', usage())
    if (gone.aborted) return
    // A fault of the mock itself. Nobody awaits this function, and a test should not die of a rejection it cannot see.
    process.emitWarning(error as Error)
    res.destroy()
  }
}

// Off the book before the last bytes leave: a client that has read the end may send its next request at once,
// and the two must not look as if they had been served side by side.
function finish({ res, page }: Scene, usage: Reply['usage'], closing?: Buffer): void {
  page.end('completed', usage)
  res.end(closing)
}

const start = -1

function sizeOf(pieces: Buffer[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0)
}

interface Plan {
  holds: Set<number>
  cuts: Map<number, 'reset' | 'close' | 'end'>
  /** Something happens between the last event and the end of the response. */
  atEnd: boolean
}

function planOf({ hold = [], reset, close, end }: Step, events: number): Plan {
  const place = (point: Point) => (point === 'start' ? start : Math.min(point, events))
  const holds = new Set([hold].flat().map(point => place(point === true ? 'start' : point)))
  const cuts: Plan['cuts'] = new Map()
  if (end !== undefined) cuts.set(place(end), 'end')
  if (close !== undefined) cuts.set(place(close), 'close')
  if (reset !== undefined) cuts.set(place(reset), 'reset')
  return { holds, cuts, atEnd: holds.has(events) || cuts.has(events) }
}

// Paced streams: many at once, with the time of every delta, to see who stalls and what is lost.
import net from 'node:net'
import { frames, sse } from './answers.ts'
import { Reply } from './reply.ts'

export interface Paced {
  /** streams with more than 100 ms between two pieces */
  stalled: number
  worstGapMs: number
  /** streams that did not end, or ended in another way than the provider ended them */
  lost: number
  firstP50Ms: number
  firstP99Ms: number
}

const STALL_MS = 100
const AT_ONCE = 64
const LONGEST_MS = 20_000

/** Opens connections one after another, asks on all of them at once, and reads until every stream has ended. */
export async function paced(port: number, streams: number, requests: readonly Buffer[]): Promise<Paced> {
  const opened: Stream[] = []
  while (opened.length < streams) {
    const next = Array.from({ length: Math.min(AT_ONCE, streams - opened.length) }, () => open(port))
    opened.push(...(await Promise.all(next)))
  }
  try {
    const results = await Promise.all(opened.map((stream, i) => stream.ask(requests[i % requests.length]!)))
    const firsts = results.flatMap(({ firstMs }) => firstMs ?? []).sort((a, b) => a - b)
    return {
      stalled: results.filter(({ worstGapMs }) => worstGapMs > STALL_MS).length,
      worstGapMs: Math.max(...results.map(({ worstGapMs }) => worstGapMs)),
      lost: results.filter(({ whole }) => !whole).length,
      firstP50Ms: firsts[firsts.length >> 1]!,
      firstP99Ms: firsts[Math.floor(firsts.length * 0.99)]!,
    }
  } finally {
    for (const stream of opened) stream.close()
  }
}

interface Heard {
  firstMs: number | undefined
  worstGapMs: number
  whole: boolean
}

interface Stream {
  ask(request: Buffer): Promise<Heard>
  close(): void
}

function open(port: number): Promise<Stream> {
  return new Promise((resolve, reject) => {
    let hear = (_buffer: Buffer, _bytes: number) => {}
    let fail = reject as () => void
    const callback = (bytes: number, buffer: Uint8Array) => {
      hear(buffer as Buffer, bytes)
      return true
    }
    const socket = net.connect({ port, noDelay: true, onread: { buffer: Buffer.allocUnsafe(16_384), callback } })
    socket.on('error', () => fail())
    socket.on('close', () => fail())
    const ask = (request: Buffer) =>
      new Promise<Heard>(resolve => {
        const heard: Heard = { firstMs: undefined, worstGapMs: 0, whole: false }
        const reply = new Reply(sse)
        const sent = performance.now()
        let last = 0
        fail = () => resolve(heard)
        const late = setTimeout(() => socket.destroy(), LONGEST_MS)
        hear = (buffer, bytes) => {
          const now = performance.now()
          try {
            heard.whole = reply.take(buffer, bytes)
          } catch (error) {
            console.error(`paced: ${(error as Error).message}`)
            return void socket.destroy()
          }
          if (heard.firstMs !== undefined) heard.worstGapMs = Math.max(heard.worstGapMs, now - last)
          else if (reply.seen > frames[0]!.length) heard.firstMs = now - sent
          last = now
          if (!heard.whole) return
          clearTimeout(late)
          resolve(heard)
        }
        socket.write(request)
      })
    socket.on('connect', () => resolve({ ask, close: () => socket.destroy() }))
  })
}

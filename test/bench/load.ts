// Load: a number of connections that each send the next request as soon as the answer to the last one is there and right.
import net from 'node:net'
import { Reply } from './reply.ts'

export interface Load {
  host: string
  port: number
  connections: number
  requests: readonly Buffer[]
  /** the body of every answer */
  /** its bytes, or how many they are where they are different each time */
  expected: Buffer | number
  /** how long new requests are sent; those on their way are then waited for */
  ms: number
}

export interface Loaded {
  answers: number
  perSecond: number
  /** of an answer, from the request's first byte to the answer's last */
  p50Ms: number
  p99Ms: number
}

const LONGEST_MS = 15_000

/** @throws Error at the first answer that is not a 200 with exactly the expected body or length, or is not there in 15 s */
export async function load({ host, port, connections, requests, expected, ms }: Load): Promise<Loaded> {
  const took: number[] = []
  const since = performance.now()
  const until = since + ms
  const sockets: net.Socket[] = []
  let late: NodeJS.Timeout | undefined
  let turn = 0
  const talk = () =>
    new Promise<void>((resolve, reject) => {
      const reply = new Reply(expected)
      let sent = 0
      const ask = () => {
        sent = performance.now()
        if (sent >= until) {
          socket.end()
          return resolve()
        }
        socket.write(requests[turn++ % requests.length]!)
      }
      const hear = (bytes: number, buffer: Uint8Array) => {
        try {
          if (reply.take(buffer as Buffer, bytes)) {
            took.push(performance.now() - sent)
            ask()
          }
        } catch (error) {
          reject(error)
        }
        return true
      }
      const socket = net.connect({
        host,
        port,
        noDelay: true,
        onread: { buffer: Buffer.allocUnsafe(65_536), callback: hear },
      })
      sockets.push(socket)
      socket.on('connect', ask)
      socket.on('error', reject)
      socket.on('close', () => reject(new Error(`${host}:${port} closed the connection`)))
    })
  try {
    const tooLate = new Promise<never>((_, reject) => {
      const error = new Error(`no answer from ${host}:${port} for ${LONGEST_MS / 1000} s`)
      late = setTimeout(() => reject(error), ms + LONGEST_MS)
    })
    await Promise.race([Promise.all(Array.from({ length: connections }, talk)), tooLate])
  } finally {
    clearTimeout(late)
    for (const socket of sockets) socket.destroy()
  }
  const seconds = (performance.now() - since) / 1000
  took.sort((a, b) => a - b)
  return {
    answers: took.length,
    perSecond: took.length / seconds,
    p50Ms: took[took.length >> 1]!,
    p99Ms: took[Math.floor(took.length * 0.99)]!,
  }
}

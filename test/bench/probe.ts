// A slow steady client: one request every few ms whatever became of those before, so that a pause shows as a long answer.
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Reply } from './reply.ts'

const EVERY_MS = 5
const CONNECTIONS = 8

export function probe(port: number, requests: readonly Buffer[], expected: Buffer) {
  let longest = 0
  let failed: Error | undefined
  let turn = 0
  const lines = Array.from({ length: CONNECTIONS }, () => {
    const reply = new Reply(expected)
    const line = { sent: 0, socket: undefined as unknown as net.Socket }
    const callback = (bytes: number, buffer: Uint8Array) => {
      try {
        if (reply.take(buffer as Buffer, bytes)) {
          longest = Math.max(longest, performance.now() - line.sent)
          line.sent = 0
        }
      } catch (error) {
        failed = error as Error
      }
      return true
    }
    line.socket = net.connect({ port, noDelay: true, onread: { buffer: Buffer.allocUnsafe(16_384), callback } })
    line.socket.on('error', error => (failed = error))
    return line
  })
  const timer = setInterval(() => {
    const line = lines.find(({ sent }) => sent === 0) // with none of them free, the longest answer says it all
    if (!line) return
    line.sent = performance.now()
    line.socket.write(requests[turn++ % requests.length]!)
  }, EVERY_MS)
  const waiting = () => lines.filter(({ sent }) => sent > 0).map(({ sent }) => performance.now() - sent)
  return {
    /** The longest answer, in ms, that came or was waited for meanwhile. @throws Error when one was wrong */
    async longest(meanwhile: number | Promise<unknown>): Promise<number> {
      longest = 0
      await (typeof meanwhile === 'number' ? sleep(meanwhile) : meanwhile)
      if (failed) throw failed
      return Math.max(longest, ...waiting())
    },
    async stop() {
      clearInterval(timer)
      while (!failed && waiting().length > 0) await sleep(EVERY_MS)
      for (const { socket } of lines) socket.destroy()
    },
  }
}

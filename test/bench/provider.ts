// The bench's provider, a process of its own: canned bytes on raw sockets, so that it is never what is measured.
//
// A body that begins with "stream":true is answered with 64 deltas at once, or, when it asks for PACED_TOKENS, one every
// PACE_MS; anything else with one JSON answer. Paced streams share one timer.
import net from 'node:net'
import { wire, wireSse } from './answers.ts'
import { PACE_MS, PACED_TOKENS } from './requests.ts'

const PEEK = 120 // bytes of a body that say what it wants

const paced: { socket: net.Socket; next: number }[] = []
setInterval(() => {
  for (let i = paced.length - 1; i >= 0; i--) {
    const stream = paced[i]!
    const frame = wire.frames[stream.next++]
    if (frame && stream.socket.writable) stream.socket.write(frame)
    else {
      if (stream.socket.writable) stream.socket.write(wire.sseEnd)
      paced[i] = paced[paced.length - 1]!
      paced.pop()
    }
  }
}, PACE_MS)

function answer(socket: net.Socket, beginning: string) {
  if (!beginning.includes('"stream":true')) socket.write(wire.json)
  else if (!beginning.includes(`"max_tokens":${PACED_TOKENS},`)) for (const piece of wireSse) socket.write(piece)
  else {
    socket.write(wire.sseHead)
    paced.push({ socket, next: 0 })
  }
}

const server = net.createServer({ noDelay: true }, socket => {
  let kept: Buffer | undefined // the beginning of a request, until enough of it is there to be understood
  let missing = 0 // bytes of the body still to come
  let beginning = ''
  socket.on('data', data => {
    if (missing > 0) {
      missing -= data.length
      if (missing === 0) answer(socket, beginning)
      return
    }
    const bytes: Buffer = kept ? Buffer.concat([kept, data]) : data
    const end = bytes.indexOf('\r\n\r\n')
    const length =
      end < 0 ? 0 : Number(/\r\ncontent-length: *(\d+)/i.exec(bytes.toString('latin1', 0, end))?.[1] ?? Number.NaN)
    if (Number.isNaN(length)) return void socket.destroy(new Error('a request without content-length'))
    const body = end + 4
    if (end < 0 || bytes.length < body + Math.min(length, PEEK)) return void (kept = bytes)
    kept = undefined
    beginning = bytes.toString('latin1', body, body + PEEK)
    missing = body + length - bytes.length
    if (missing === 0) answer(socket, beginning)
  })
  socket.on('error', error => {
    if (!/ECONNRESET|EPIPE/.test(error.message)) console.error(`provider: ${error.message}`)
  })
})
server.listen(0, '127.0.0.1', 4096, () => console.log(`http://127.0.0.1:${(server.address() as net.AddressInfo).port}`))

import t from 'tap'
import { json, sse, wire, wireSse } from './answers.ts'
import { Reply } from './reply.ts'

/** Feeds an answer in pieces of so many bytes; how many pieces it took until it was complete. */
function read(answer: Buffer, expected: Buffer, bytes: number): number {
  const reply = new Reply(expected)
  for (let at = 0, pieces = 1; at < answer.length; at += bytes, pieces++) {
    const piece = Buffer.alloc(bytes + 100, 'HTTP/1.1 200 OK\r\n\r\n') // a buffer that was used before and is longer than the piece
    const length = answer.copy(piece, 0, at, at + bytes)
    if (reply.take(piece, length)) return pieces
  }
  return 0
}

t.test('an answer is complete with its last byte, however it is cut', async t => {
  for (const [answer, body] of [
    [wire.json, json],
    [Buffer.concat(wireSse), sse],
  ] as const)
    for (const bytes of [1, 2, 3, 7, 64, 1_000, 1_000_000])
      t.equal(read(answer, body, bytes), Math.ceil(answer.length / bytes), `${bytes} bytes at a time`)
})

t.test('one wrong byte, a missing frame or another status ends the run', async t => {
  const wrong = Buffer.from(wire.json)
  wrong[wrong.length - 10]! ^= 1
  t.throws(() => read(wrong, json, 100), /other bytes than the provider's/)
  const without = Buffer.concat([wire.sseHead, ...wire.frames.slice(0, -2), wire.frames.at(-1)!, wire.sseEnd])
  t.throws(() => read(without, sse, 100), /other bytes/)
  t.throws(() => read(Buffer.concat([wire.sseHead, wire.sseEnd]), sse, 100), /an answer of 0 bytes/)
  t.throws(() => read(Buffer.from('HTTP/1.1 429 Too Many Requests\r\n\r\n'), json, 100), /not a 200: .*429/)
})

// What the bench's provider answers, byte for byte: a Messages answer and a stream of 64 deltas, both with usage.

const MODEL = 'claude-sonnet-5-5'
export const DELTAS = 64
const usage = { input_tokens: 240, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 }
const head = { id: 'msg_bench', type: 'message', role: 'assistant', model: MODEL }

export const json = Buffer.from(
  JSON.stringify({
    ...head,
    content: [{ type: 'text', text: 'The answer is in the measuring. '.repeat(20) }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage: { ...usage, output_tokens: 140 },
  }),
)

const frame = (event: { type: string }) => Buffer.from(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
const delta = (i: number) => ({
  type: 'content_block_delta',
  index: 0,
  delta: { type: 'text_delta', text: ` word ${i}` },
})

/** The frames of a stream: opening (two events), 64 deltas, ending (three events). */
export const frames = [
  Buffer.concat([
    frame({
      type: 'message_start',
      message: { ...head, content: [], stop_reason: null, stop_sequence: null, usage: { ...usage, output_tokens: 1 } },
    } as { type: string }),
    frame({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } } as { type: string }),
  ]),
  ...Array.from({ length: DELTAS }, (_, i) => frame(delta(i))),
  Buffer.concat([
    frame({ type: 'content_block_stop', index: 0 } as { type: string }),
    frame({
      type: 'message_delta',
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { output_tokens: DELTAS },
    } as { type: string }),
    frame({ type: 'message_stop' }),
  ]),
]
export const sse = Buffer.concat(frames)

const chunk = (body: Buffer) =>
  Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n')])

/** The same as they go over the wire. */
export const wire = {
  json: Buffer.concat([
    Buffer.from(
      `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_bench\r\ncontent-length: ${json.length}\r\n\r\n`,
    ),
    json,
  ]),
  sseHead: Buffer.from(
    'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nrequest-id: req_bench\r\ntransfer-encoding: chunked\r\n\r\n',
  ),
  frames: frames.map(chunk),
  sseEnd: Buffer.from('0\r\n\r\n'),
}

const AT_ONCE = 4

/**
 * A whole stream in pieces of four frames, each written by itself: a gateway has to read more than once, as it does in
 * life, and the provider still costs less than any gateway.
 */
export const wireSse = Array.from({ length: Math.ceil(wire.frames.length / AT_ONCE) }, (_, i) => {
  const four = wire.frames.slice(i * AT_ONCE, (i + 1) * AT_ONCE)
  return Buffer.concat([...(i === 0 ? [wire.sseHead] : []), ...four])
})
wireSse.push(wire.sseEnd)

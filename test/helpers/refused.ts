// What a client is told when it gets no answer: the whole envelope, so that nothing more than this is ever said.
import type { Test } from 'tap'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** `openai`: in its envelope, not in that of Messages */
export type Refusal = [status: number, type: string, code: string, message: string, envelope?: 'openai']

/** Fails the test unless the reply is this refusal, in the envelope of its client and with its request id. */
export async function refused(t: Test, reply: Response, refusal: Refusal, name: string = refusal[2]): Promise<void> {
  const [status, type, code, message, envelope] = refusal
  const id = reply.headers.get('x-request-id')
  t.match(id, uuid)
  t.strictSame(
    {
      status: reply.status,
      contentType: reply.headers.get('content-type'),
      requestId: reply.headers.get('request-id'),
      body: await reply.json(),
    },
    {
      status,
      contentType: 'application/json',
      requestId: id,
      body: envelope
        ? { error: { message, type, param: null, code } }
        : { type: 'error', error: { type, message, code }, request_id: id },
    },
    name,
  )
}

/** The same for an answer as it came over a socket. */
export async function refusedOnWire(t: Test, text: string, refusal: Refusal, name?: string): Promise<void> {
  const [top = '', body = ''] = text.split('\r\n\r\n')
  const [line = '', ...fields] = top.split('\r\n')
  const headers = fields.map(field => field.split(/: (.*)/).slice(0, 2) as [string, string])
  await refused(t, new Response(body, { status: Number(line.split(' ')[1]), headers }), refusal, name)
}

// Intercept: throw-away requests of clients ("give this a title", "Warmup"), answered here for accounts that ask for it.
import { setTimeout as pause } from 'node:timers/promises'
import type { Downstream } from '../answer/downstream.ts'
import { streamHeaders } from '../ask/hop.ts'
import type { Gateway } from '../gateway.ts'
import type { Call } from './receive.ts'

interface Block {
  type?: string
  text?: string
}
interface Body {
  system?: string | Block[]
  messages?: { role?: string; content?: string | Block[] }[]
}

// A warmup request is small; a larger one is somebody's work that happens to quote one.
const MOST = 256 * 1024

/** Whether a Messages request is one of those that `warmup.*` describes. */
export function isWarmup(gw: Gateway, call: Call): boolean {
  if (call.route.kind !== 'generate' || call.body.length > MOST) return false
  const { config } = gw
  const [texts, exact, system] = [config['warmup.texts'], config['warmup.exact'], config['warmup.system']]
  // Nearly every request ends here, without being parsed.
  if (![...texts, ...exact, ...system].some(word => call.body.includes(JSON.stringify(word).slice(1, -1)))) return false
  let body: Body
  try {
    body = JSON.parse(call.body.toString('utf8')) as Body
  } catch {
    return false
  }
  const said = blocks(
    body.messages?.filter(m => m.role === 'user').flatMap(m => (Array.isArray(m.content) ? m.content : [])),
  )
  return (
    said.some(text => exact.includes(text) || texts.some(part => text.includes(part))) ||
    blocks(typeof body.system === 'string' ? [{ type: 'text', text: body.system }] : body.system).some(text =>
      system.some(part => text.includes(part)),
    )
  )
}

function blocks(list: unknown): string[] {
  if (!Array.isArray(list)) return []
  return (list as Block[]).filter(b => b?.type === 'text' && typeof b.text === 'string').map(b => b.text!)
}

const usage = { input_tokens: 10, output_tokens: 2 }
const message = (model: string, content: object[], stop_reason: string | null) => ({
  id: 'msg_mock_warmup',
  type: 'message',
  role: 'assistant',
  model,
  content,
  stop_reason,
  stop_sequence: null,
  usage,
})
const BETWEEN_FRAMES_MS = 20

/** The answer of spec/domain.md §11.1: no upstream, no usage row, no charge. */
export async function answerWarmup(call: Call, down: Downstream): Promise<void> {
  const { model, stream } = call.peek
  if (!stream) {
    down.json(200, message(model, [{ type: 'text', text: 'New Conversation' }], 'end_turn'))
    return
  }
  down.head(200, streamHeaders, true)
  down.quiet()
  const delta = (text: string) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })
  const frames = [
    { type: 'message_start', message: message(model, [], null) },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    delta('New'),
    delta(' Conversation'),
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage },
    { type: 'message_stop' },
  ]
  for (const [i, frame] of frames.entries()) {
    if (i > 0) await pause(BETWEEN_FRAMES_MS)
    down.check()
    down.write(Buffer.from(`event: ${frame.type}\ndata: ${JSON.stringify(frame)}\n\n`))
  }
  down.end()
}

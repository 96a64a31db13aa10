// Throw-away requests of Messages clients ("give this a title", "Warmup"): how they are told from work, and what answers them.
import type { WarmupPhrases } from '../dialect.ts'

interface Block {
  type?: string
  text?: string
}
interface Request {
  system?: string | Block[]
  messages?: { role?: string; content?: string | Block[] }[]
}

// A warmup request is small; a larger one is somebody's work that happens to quote one.
const MOST = 256 * 1024

export function isWarmup(body: Buffer, { texts, exact, system }: WarmupPhrases): boolean {
  if (body.length > MOST) return false
  // Nearly every request ends here, without being parsed.
  if (![...texts, ...exact, ...system].some(word => body.includes(JSON.stringify(word).slice(1, -1)))) return false
  let request: Request
  try {
    request = JSON.parse(body.toString('utf8')) as Request
  } catch {
    return false
  }
  const said = textsOf(
    request.messages?.filter(m => m.role === 'user').flatMap(m => (Array.isArray(m.content) ? m.content : [])),
  )
  return (
    said.some(text => exact.includes(text) || texts.some(part => text.includes(part))) ||
    textsOf(typeof request.system === 'string' ? [{ type: 'text', text: request.system }] : request.system).some(text =>
      system.some(part => text.includes(part)),
    )
  )
}

function textsOf(list: unknown): string[] {
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

export const warmupAnswer = (model: string): object =>
  message(model, [{ type: 'text', text: 'New Conversation' }], 'end_turn')

export function warmupFrames(model: string): Buffer[] {
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
  return frames.map(frame => Buffer.from(`event: ${frame.type}\ndata: ${JSON.stringify(frame)}\n\n`))
}

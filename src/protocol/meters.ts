// The meter of each dialect in which an upstream may answer.
import { messagesMeter } from './anthropic/meter.ts'
import { geminiMeter } from './gemini/meter.ts'
import { chatMeter } from './openai/chat-meter.ts'
import { responsesMeter } from './openai/responses-meter.ts'
import type { Meter } from './protocol.ts'

export type MeterName = 'messages' | 'responses' | 'chat' | 'gemini'

/** Each for a stream of server-sent events, or for a body that is read when it is whole. */
export const meters: Record<MeterName, (streaming: boolean) => Meter> = {
  messages: messagesMeter,
  responses: responsesMeter,
  chat: chatMeter,
  gemini: geminiMeter,
}

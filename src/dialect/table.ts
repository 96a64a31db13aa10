// The meter of each dialect in which an upstream may answer.

import { chatMeter } from './chat/meter.ts'
import type { Meter } from './dialect.ts'
import { geminiMeter } from './gemini/meter.ts'
import { messagesMeter } from './messages/meter.ts'
import { responsesMeter } from './responses/meter.ts'

export type MeterName = 'messages' | 'responses' | 'chat' | 'gemini'

/** Each for a stream of server-sent events, or for a body that is read when it is whole. */
export const meters: Record<MeterName, (streaming: boolean) => Meter> = {
  messages: messagesMeter,
  responses: responsesMeter,
  chat: chatMeter,
  gemini: geminiMeter,
}

// The dialects there are, and the meter of each in which an upstream may answer.
import { chat } from './chat/chat.ts'
import { chatMeter } from './chat/meter.ts'
import type { Dialect, DialectName, Meter } from './dialect.ts'
import { gemini } from './gemini/gemini.ts'
import { geminiMeter } from './gemini/meter.ts'
import { messages } from './messages/messages.ts'
import { messagesMeter } from './messages/meter.ts'
import { responsesMeter } from './responses/meter.ts'
import { responses } from './responses/responses.ts'

/** By name: those that clients may speak. */
export const dialects = new Map<DialectName, Dialect>([
  ['messages', messages],
  ['responses', responses],
  ['gemini', gemini],
  ['chat', chat],
])

/** @throws Error for a dialect that no row names: a route or a platform promises what is not there */
export function dialectNamed(name: DialectName): Dialect {
  const found = dialects.get(name)
  if (!found) throw new Error(`no dialect ${name}`)
  return found
}

/** Each for a stream of server-sent events, or for a body that is read when it is whole. */
export const meters: Record<DialectName, (streaming: boolean) => Meter> = {
  messages: messagesMeter,
  responses: responsesMeter,
  chat: chatMeter,
  gemini: geminiMeter,
}

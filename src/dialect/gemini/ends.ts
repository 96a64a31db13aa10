// How an answer ended, in Gemini's words and in those of the middle form.
import type { Why } from '../middle/form.ts'

const whys = new Map<string, Why>([
  ['STOP', 'end'],
  ['MAX_TOKENS', 'length'],
  // A long answer stops at a cap of its own, and would be asked to go on.
  ['CONTINUATION', 'length'],
  ['MALFORMED_FUNCTION_CALL', 'malformedCall'],
  ['UNEXPECTED_TOOL_CALL', 'malformedCall'],
  ['TOO_MANY_TOOL_CALLS', 'malformedCall'],
  ['MALFORMED_RESPONSE', 'malformedCall'],
  // What a filter says (spec/wire.md §4.2, wire-additions.md §3).
  ...[
    'SAFETY',
    'RECITATION',
    'LANGUAGE',
    'BLOCKLIST',
    'PROHIBITED_CONTENT',
    'SPII',
    'IMAGE_SAFETY',
    'IMAGE_PROHIBITED_CONTENT',
    'IMAGE_RECITATION',
    'MODEL_ARMOR',
    'ESCALATION',
  ].map((word): [string, Why] => [word, 'safety']),
])

export const whyOf = (finishReason: string): Why => whys.get(finishReason) ?? 'other'

const words: Record<Why, string> = {
  end: 'STOP',
  stopSequence: 'STOP',
  calls: 'STOP',
  paused: 'STOP',
  length: 'MAX_TOKENS',
  contextFull: 'MAX_TOKENS',
  refused: 'SAFETY',
  safety: 'SAFETY',
  malformedCall: 'MALFORMED_FUNCTION_CALL',
  other: 'OTHER',
}

export const wordOf = (why: Why): string => words[why]

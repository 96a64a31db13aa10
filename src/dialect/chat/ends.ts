// What an upstream's finish_reason means.
import type { Why } from '../middle/form.ts'
import { words } from '../middle/read.ts'

export const whys = words<Why>({
  stop: 'end',
  eos: 'end',
  end_turn: 'end',
  length: 'length',
  max_tokens: 'length',
  tool_calls: 'calls',
  function_call: 'calls',
  content_filter: 'safety',
})

// usageMetadata as tokens of the middle form, and back (spec/wire.md §3.3).
import { count } from '../meter.ts'
import type { Tokens } from '../middle/form.ts'

/** Undefined where nothing is counted: some chunks carry only `trafficType`. What is missing was told before, and is the same. */
export function tokensOf(value: unknown, before: Tokens | undefined): Tokens | undefined {
  if (typeof value !== 'object' || value === null) return before
  const said = value as Record<string, unknown>
  const prompt = count(said['promptTokenCount'])
  const answered = count(said['candidatesTokenCount'])
  const thoughts = count(said['thoughtsTokenCount'])
  if (prompt === undefined && answered === undefined && thoughts === undefined) return before
  const cached = count(said['cachedContentTokenCount']) ?? before?.cacheRead ?? 0
  const tools = count(said['toolUsePromptTokenCount']) ?? 0
  const thinking = thoughts ?? before?.thinking
  const text = answered ?? (before ? before.output - (before.thinking ?? 0) : 0)
  return {
    input: prompt === undefined ? (before?.input ?? 0) : Math.max(0, prompt - cached) + tools,
    output: text + (thinking ?? 0),
    ...(thinking === undefined ? {} : { thinking }),
    cacheRead: cached,
    cacheWrite: {},
  }
}

export function usageOf({ input, output, thinking = 0, cacheRead, cacheWrite }: Tokens): Record<string, number> {
  const prompt = Object.values(cacheWrite).reduce((sum, tokens) => sum + tokens, input + cacheRead)
  return {
    promptTokenCount: prompt,
    ...(cacheRead > 0 ? { cachedContentTokenCount: cacheRead } : {}),
    candidatesTokenCount: Math.max(0, output - thinking),
    ...(thinking > 0 ? { thoughtsTokenCount: thinking } : {}),
    totalTokenCount: prompt + output,
  }
}

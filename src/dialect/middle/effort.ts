// Effort and budgets of thinking in terms of each other (design/middle-form.md, Effort bands).
import type { Effort } from './form.ts'

/** Lowest first. */
export const efforts: readonly Effort[] = ['minimal', 'low', 'medium', 'high', 'xhigh', 'max']

const bands: readonly (readonly [most: number, effort: Effort])[] = [
  [1024, 'low'],
  [8192, 'medium'],
  [24_576, 'high'],
]

/** The effort that a budget stands for; undefined: 0, which is none at all. */
export function effortOf(budget: number): Effort | undefined {
  if (budget <= 0) return undefined
  return bands.find(([most]) => budget <= most)?.[1] ?? 'xhigh'
}

const budgets: Record<Exclude<Effort, 'max'>, number> = {
  minimal: 512,
  low: 1024,
  medium: 8192,
  high: 24_576,
  xhigh: 32_768,
}

/** The budget that an effort stands for, in tokens, within those that a model takes. */
export function budgetOf(effort: Effort, { least, most }: { least: number; most: number }): number {
  return Math.min(most, Math.max(least, effort === 'max' ? most : budgets[effort]))
}

/** The effort nearest to it that is offered: itself, else the next lower, else the lowest; undefined: none is. */
export function offeredEffort(effort: Effort, offered: readonly Effort[]): Effort | undefined {
  const at = efforts.indexOf(effort)
  const sorted = efforts.filter(one => offered.includes(one))
  return sorted.findLast(one => efforts.indexOf(one) <= at) ?? sorted[0]
}

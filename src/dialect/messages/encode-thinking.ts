// How much Claude may think, and how it is asked for an answer's form: by what the model takes.
import { budgetOf, effortOf, efforts, offeredEffort } from '../middle/effort.ts'
import type { ModelFacts } from '../middle/facts.ts'
import type { Ask, Effort, Thinking } from '../middle/form.ts'
import type { Notes } from '../middle/notes.ts'

export interface Thoughts {
  /** undefined: the model's own way */
  thinking?: { type: 'enabled' | 'adaptive' | 'disabled' | 'between_tools'; budget_tokens?: number; display?: string }
  effort?: Effort
}

interface Asked {
  ask: Ask
  facts: ModelFacts
  notes: Notes
  maxTokens: number
  /** a turn under way has calls and no reasoning before them, which thinking by budget needs there */
  unproven: boolean
}

export function thoughtsFor(asked: Asked): Thoughts {
  const { ask, facts, notes } = asked
  const { thinking, wants } = ask
  const show = thinking?.show === 'none' ? 'omitted' : thinking?.show || wants.reasoning ? 'summarized' : undefined
  const display = facts.display && show ? { display: show } : {}
  if (!thinking) {
    // It thinks whatever it is told, and shows nothing of it unless it is told to.
    const always = facts.thinking.includes('auto') && !facts.thinking.includes('off')
    return always && show === 'summarized' && facts.display ? { thinking: { type: 'adaptive', ...display } } : {}
  }
  const { mode, effort } = thinking.params
  if (facts.thinking.length === 0) {
    if (thinking.mode !== 'off') for (const param of [mode, effort]) if (param) notes.drop(param)
    return {}
  }
  const off = thinking.mode === 'off' || (thinking.mode === 'budget' && thinking.budget === 0)
  if (off) return thinkingOff(asked, thinking, display)
  if (thinking.mode === 'betweenTools' && facts.thinking.includes('betweenTools'))
    return { thinking: { type: 'between_tools' }, ...effortFor(asked, thinking.effort, thinking) }
  if (thinking.mode === 'budget' && facts.thinking.includes('budget'))
    return byBudget(asked, thinking, thinking.budget ?? budgetOf(thinking.effort ?? 'medium', facts.budget), display)
  if (facts.thinking.includes('auto')) {
    // A budget is an effort by the bands that all share: that is no change.
    if (thinking.mode === 'betweenTools') changed(notes, thinking)
    const said = thinking.effort ?? (thinking.mode === 'budget' ? effortOf(thinking.budget ?? 0) : undefined)
    const level = said ?? (thinking.mode === 'betweenTools' ? 'low' : undefined)
    return { thinking: { type: 'adaptive', ...display }, ...effortFor(asked, level, thinking) }
  }
  return byBudget(asked, thinking, budgetOf(thinking.effort ?? 'medium', facts.budget), display)
}

function thinkingOff(asked: Asked, thinking: Thinking, display: { display?: string }): Thoughts {
  const { facts, notes } = asked
  if (facts.thinking.includes('off')) {
    const most = facts.offUpTo
    const { effort } = thinking
    if (!effort || !most || efforts.indexOf(effort) <= efforts.indexOf(most))
      return { thinking: { type: 'disabled' }, ...effortFor(asked, effort, thinking) }
    if (thinking.params.effort) notes.change(thinking.params.effort)
    return { thinking: { type: 'disabled' }, ...effortFor(asked, most, thinking) }
  }
  changed(notes, thinking)
  if (facts.thinking.includes('betweenTools')) return { thinking: { type: 'between_tools' } }
  return { thinking: { type: 'adaptive', ...display }, ...effortFor(asked, 'low', thinking) }
}

/** A budget within what the model takes and below the tokens of the answer; where nothing is left for it, none. */
function byBudget(asked: Asked, thinking: Thinking, budget: number, display: { display?: string }): Thoughts {
  const { facts, notes, maxTokens, unproven } = asked
  const { least, most } = facts.budget
  const level = effortFor(asked, thinking.effort, thinking)
  const fits = Math.min(Math.max(budget, least), most, maxTokens - 1)
  if (fits < least || unproven) {
    changed(notes, thinking)
    return facts.thinking.includes('off') ? { thinking: { type: 'disabled' }, ...level } : level
  }
  // What an effort stands for with this model is ours to say; that the answer leaves less is not.
  const meant = thinking.mode === 'budget' ? budget : Math.min(Math.max(budget, least), most)
  if (fits !== meant) changed(notes, thinking)
  return { thinking: { type: 'enabled', budget_tokens: fits, ...display }, ...level }
}

function effortFor({ facts, notes }: Asked, effort: Effort | undefined, { params }: Thinking): { effort?: Effort } {
  if (!effort || facts.efforts.length === 0) return {}
  const offered = offeredEffort(effort, facts.efforts)!
  const param = params.effort ?? params.mode
  if (offered !== effort && param) notes.change(param)
  return { effort: offered }
}

function changed(notes: Notes, { params }: Thinking): void {
  const param = params.mode ?? params.effort
  if (param) notes.change(param)
}

// gw alert test: what a rule finds now, and a notice for trying its channels.
import { boundaryAt, clockOf } from '../../core/alert/evaluate.ts'
import { measure } from '../../core/alert/measure.ts'
import { testMessage } from '../../core/alert/message.ts'
import { compare, metrics } from '../../core/alert/metrics.ts'
import { conditionOf } from '../../core/alert/rule.ts'
import { findRule } from '../../core/alert/rules.ts'
import { evaluated } from '../../core/alert/states.ts'
import { enqueue } from '../../core/notify/outbox.ts'
import type { Invocation } from '../command.ts'

interface Tried {
  dimension: string
  /** null: nothing to measure */
  value: number | null
  breached: boolean
  /** what evaluation has counted so far */
  breaches: number
  firing: boolean
  /** it would fire at an evaluation that found this, the cooldown aside */
  would_fire: boolean
}

/** Reads the last whole window, as evaluation does; changes nothing but, with `notify`, the outbox. */
export async function test(gw: Invocation, ref: string, notify: boolean): Promise<void> {
  const [db, config] = [await gw.db(), await gw.config()]
  const rule = await findRule(db, ref)
  const intervalMs = config['ops.interval']
  const boundary = boundaryAt(await clockOf(db), { intervalMs, lagMs: Math.min(1_000, intervalMs / 2) })
  const values = await measure(db, rule, { boundary, intervalMs })
  const states = new Map(((await evaluated(db)).get(rule.id) ?? []).map(state => [state.dimension, state]))
  const starred = Object.values(rule.where).includes('*')
  const tried: Tried[] = (starred ? [...values.keys()].sort() : ['']).map(dimension => {
    const value = values.get(dimension) ?? null
    const state = states.get(dimension)
    const breached = value !== null && compare(value, rule.op, rule.threshold)
    const breaches = state?.breaches ?? 0
    const firing = state?.firing ?? false
    return {
      dimension,
      value,
      breached,
      breaches,
      firing,
      would_fire: breached && !firing && breaches + 1 >= rule.sustained,
    }
  })
  const told = notify ? await gw.write(tx => enqueue(tx, { event: null, message: testMessage(rule), rule })) : []
  const { unit } = metrics[rule.metric]!
  const lines = tried.map(({ dimension, value, breached, firing, would_fire, breaches }) => {
    const state = value === null ? 'nothing to measure' : `${Number(value.toFixed(2))} ${unit}`
    const verdict = firing
      ? 'it fires'
      : would_fire
        ? 'it would fire'
        : breached
          ? `breached, ${breaches + 1} of ${rule.sustained} in a row`
          : 'it would not fire'
    return `${dimension === '' ? '' : `${dimension}: `}${state}; ${verdict}`
  })
  if (lines.length === 0) lines.push('nothing to measure; it would not fire')
  if (notify) lines.push(told.length === 0 ? 'no channel to tell' : `a test notice is on its way to ${told.join(', ')}`)
  gw.out.print(
    {
      rule: rule.name,
      at: new Date(boundary),
      metric: rule.metric,
      op: rule.op,
      threshold: rule.threshold,
      unit,
      results: tried,
      told,
    },
    [`${rule.name}: ${conditionOf(rule)}`, ...lines].join('\n'),
  )
}

// GET /ops/alerts: what fires and what fired, how telling it went, and the rules and silences behind it.
import { listEvents } from '../core/alert/event.ts'
import { listRules } from '../core/alert/rules.ts'
import { listSilences } from '../core/alert/silence.ts'
import { evaluated, missedEvaluations, statesOf } from '../core/alert/states.ts'
import { countFiring } from '../core/alert/tally.ts'
import type { Database } from '../db/connect.ts'
import { severities } from '../db/schema-watch.ts'
import { instant, oneOf, parameters, text, whole, yesOrNo } from './query.ts'
import type { OpsRoutes } from './routes.ts'

const LARGEST = 2_147_483_647

export const alertRoutes = ({ db }: { db: Database['db'] }): OpsRoutes => ({
  async '/ops/alerts'(query) {
    const filter = parameters(query, {
      firing: yesOrNo,
      since: instant,
      rule: text,
      severity: oneOf(...severities),
      limit: whole(1, 1000),
      before: whole(1, LARGEST),
    })
    const limit = filter.limit ?? 50
    // One more tells whether there is a next page.
    const events = await listEvents(db, { ...filter, limit: limit + 1 })
    const [firing, rules, states, silences, missed] = [
      await countFiring(db),
      await listRules(db),
      await evaluated(db),
      await listSilences(db),
      await missedEvaluations(db),
    ]
    const page = events.slice(0, limit)
    return {
      at: new Date(),
      firing,
      alerts: page,
      next_before: events.length > limit ? page.at(-1)!.id : null,
      rules: rules.map(rule => ({ ...rule, ...statesOf(rule, states) })),
      silences,
      missed,
    }
  },
})

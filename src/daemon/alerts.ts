// Alert rules: those of files become rows at the start, and all are evaluated at every boundary, by whichever process is first.
import type { Logger } from 'pino'
import { evaluate, type Rhythm } from '../core/alert/evaluate.ts'
import { type RuleFile, shippedRules } from '../core/alert/read-file.ts'
import { absentChannels } from '../core/alert/states.ts'
import { syncFiles } from '../core/alert/sync.ts'
import type { Database } from '../db/connect.ts'
import type { OwnJob } from './jobs.ts'
import type { Told } from './reload.ts'

const LAG_MS = 5_000

/** The rows of all processes are there by then: they are written at the boundary itself. */
const lagOf = (intervalMs: number): number => Math.min(LAG_MS, intervalMs / 2)

/** The rules that gw ships and those of `alerts.file` become rows. @returns what came of it, in sentences */
export async function rulesOfFiles({ db }: Pick<Database, 'db'>, file: RuleFile): Promise<Told[]> {
  const told: Told[] = []
  const tell = (level: Told['level'], line: string) => void told.push({ level, line })
  for (const { rule, change, source } of await syncFiles(db, { shipped: shippedRules(), file })) {
    if (change === 'taken' && source === 'file')
      tell('warn', `alerts.file: rule ${rule} is left out, since there is one of that name by gw alert rule add`)
    else if (change === 'kept')
      tell('info', `alert rule ${rule} is not shipped any more; it was changed here, and is kept`)
    else if (source === 'file' && change !== 'same') tell('info', `alert rule ${rule} of alerts.file: ${change}`)
  }
  const own = file.rules.map(({ fields }) => fields)
  for (const { rule, channel } of await absentChannels(db, own))
    tell('warn', `alerts.file: rule ${rule} names the channel "${channel}", which is not there (gw alert channel list)`)
  return told
}

/** Evaluates at each multiple of `intervalMs`, when the rows of all are there. */
export function alertJob(db: Database['db'], intervalMs: number, log: Logger): OwnJob {
  const rhythm: Rhythm = { intervalMs, lagMs: lagOf(intervalMs) }
  // Who is first does it for all; so that it is mostly the same one, and the others find nothing to do, each has its own delay.
  const later = rhythm.lagMs + Math.random() * Math.min(1_000, intervalMs / 8)
  // How far Postgres' clock, by which boundaries are told, is ahead of the monotonic one here.
  let ahead = Date.now() - performance.now()
  return {
    name: 'alerts',
    everyMs: intervalMs,
    // What a restart came in between is evaluated at once.
    atStart: true,
    dueIn() {
      const passed = performance.now() + ahead - later
      return intervalMs - (passed % intervalMs)
    },
    async run(leaving) {
      const began = performance.now()
      const { now, turns, missed, failed } = await evaluate(db, rhythm)
      // Asked first of all: how long the rest took is no part of it.
      ahead = now - began
      for (const { act, id, title, silenced } of turns)
        log[act === 'firing' ? 'warn' : 'info']({ alert: id }, `alert ${act}: ${title}${silenced ? ', silenced' : ''}`)
      if (missed.length > 0) {
        const most = Math.max(...missed.map(one => one.evaluations))
        log.warn(
          `alerts: nobody evaluated ${missed.length} rules for up to ${most} times; what was breached in between counts anew`,
        )
      }
      const [first] = failed
      if (first && !leaving.aborted)
        throw new Error(`${failed.length} rules could not be evaluated; ${first.rule}: ${first.error.message}`, {
          cause: first.error,
        })
    },
  }
}

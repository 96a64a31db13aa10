// gw alert silence, silences and unsilence.
import { addSilence, endSilence, listSilences, type Silence } from '../../core/alert/silence.ts'
import type { Severity } from '../../db/schema-watch.ts'
import type { Invocation } from '../command.ts'

const view = ({ id, rule, severity, until, created_by, note }: Silence) => {
  return { id, rule: rule ?? 'any', severity: severity ?? 'any', until, by: created_by, note }
}

export async function silence(
  gw: Invocation,
  { rule, severity, until, by, note }: { rule?: string; severity?: Severity; until: Date; by: string; note?: string },
): Promise<void> {
  const made = await gw.write(db => addSilence(db, { rule, severity, until, by, note }))
  gw.out.record(made, view(made))
}

export async function silences(gw: Invocation, all: boolean): Promise<void> {
  gw.out.list(
    await listSilences(await gw.db(), { all }),
    view,
    all ? 'there never was a silence' : 'nothing is silenced',
    ['note', 'by'],
  )
}

export async function unsilence(gw: Invocation, id: number): Promise<void> {
  const ended = await gw.write(db => endSilence(db, id))
  gw.out.record(ended, view(ended))
}

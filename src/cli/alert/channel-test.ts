// gw alert channel test: one message, told from this process at once, as the daemon would tell it.
import { randomUUID } from 'node:crypto'
import { findChannel, openChannel } from '../../core/notify/channel.ts'
import { send } from '../../core/notify/send.ts'
import type { Untaken } from '../../core/notify/untaken.ts'
import type { AlertMessage } from '../../db/schema-watch.ts'
import { Refusal } from '../../lib/refusal.ts'
import type { Invocation } from '../command.ts'
import { guardOf } from './channel.ts'

/** Prints what came of it. @throws Refusal `missing`, and `failure` when it was not taken */
export async function testChannel(gw: Invocation, ref: string): Promise<void> {
  const [db, secret, config] = [await gw.db(), await gw.secret(), await gw.config()]
  const { id, name, type } = await findChannel(db, secret, ref)
  const channel = await openChannel(db, secret, id)
  const smtp = { url: config['smtp.url'], passwordFile: config['smtp.password_file'], from: config['smtp.from'] }
  const begun = performance.now()
  const tested = (ok: boolean, reason: string | undefined) => {
    const duration_ms = Math.round(performance.now() - begun)
    const result = { channel: name, type, ok, duration_ms, ...(reason === undefined ? {} : { reason }) }
    gw.out.record(result)
  }
  try {
    const note = await send(
      channel,
      message(name),
      { key: randomUUID(), event: null },
      { smtp, guard: await guardOf(gw) },
    )
    tested(true, note)
  } catch (error) {
    const { message: reason } = error as Untaken
    tested(false, reason)
    throw new Refusal('failure', `alert channel "${name}" did not take it: ${reason}`)
  }
}

const message = (name: string): AlertMessage => ({
  kind: 'test',
  rule_id: null,
  rule: `channel ${name}`,
  severity: 'P3',
  dimension: '',
  title: `P3: channel ${name}`,
  description: 'This is a test of gw alert channel test. Nothing fires.',
  metric: '',
  op: '',
  value: null,
  threshold: null,
  window_minutes: null,
  fired_at: new Date().toISOString(),
  resolved_at: null,
})

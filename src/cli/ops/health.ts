// gw ops health: one number for how well gw does, and why it is not 100.
import { healthBack, health as query } from '../../core/watch/health.ts'
import { reading } from '../../core/watch/reading.ts'
import type { Invocation } from '../command.ts'

export async function health(gw: Invocation, { since }: { since?: Date }): Promise<void> {
  const until = Date.now()
  const [{ db }, config] = [await gw.database(), await gw.config()]
  const span = { since: since?.getTime() ?? until - healthBack(config['ops.interval']), until }
  const found = await reading(db, tx => query(tx, span, { redis: config['redis.url'] !== undefined }))
  const lines = found.components.map(
    ({ name, lost, reason }) =>
      [name.replace('_', ' ').padEnd(12), lost === 0 ? '    -' : `−${lost}`.padStart(5), reason] as const,
  )
  gw.out.print(
    found,
    [
      `${found.score} of 100: business ${found.business}, infrastructure ${found.infrastructure}`,
      ...lines.map(line => line.join('  ')),
    ].join('\n'),
  )
}

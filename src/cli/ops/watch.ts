// gw ops watch: the live stream of a running daemon, one line a second, through its restarts.
import type { LiveFrame } from '../../control/view.ts'
import { watchDaemon } from '../../control/watch.ts'
import { Refusal } from '../../lib/refusal.ts'
import { formatDuration } from '../../lib/units.ts'
import type { Invocation } from '../command.ts'

/** Until `count` frames are printed, or a signal comes. @throws Refusal `unreachable` when no daemon answers at the beginning */
export async function watch(gw: Invocation, { count }: { count?: number }): Promise<void> {
  const socket = await gw.socket()
  const { shell, out } = gw
  const { json } = out
  let seen = 0
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const stop = watchDaemon(
    { socket, rows: [] },
    {
      message(message) {
        if (message.type !== 'frame') return
        shell.stdout.write(`${json ? JSON.stringify(message) : line(message)}\n`)
        // Whoever read it is gone (`| head`).
        if (++seen === count || shell.stdout.destroyed) resolve()
      },
      lost({ why, attempt, afterMs }) {
        if (seen === 0)
          reject(
            new Refusal(
              'unreachable',
              `no gw daemon answers on ${socket}: ${why}; start it with gw serve, or name its --data-dir`,
            ),
          )
        else out.note(`the daemon is gone: ${why}; try ${attempt} in ${formatDuration(afterMs)}`)
      },
    },
  )
  // A signal ends the command, but not what we hold open.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) shell.once(signal, () => resolve())
  await promise.finally(stop)
}

/** In the short words of `gw top`, so that it fits a terminal of 100 columns. */
function line(frame: LiveFrame): string {
  const { ttft_ms: ttft, accounts, error_rate } = frame
  return [
    frame.at.slice(11, 19),
    `qps ${frame.qps}`,
    `tps ${Math.round(frame.tps)}`,
    `run ${frame.in_flight}`,
    `wait ${frame.waiting}`,
    `err ${error_rate === null ? '-' : `${error_rate}%`}`,
    `ttft p50 ${ttft ? `${ttft.p50}ms` : '-'} p95 ${ttft ? `${ttft.p95}ms` : '-'}`,
    `out ${accounts.out}/${accounts.total}`,
    ...(frame.nodes.length > 1 ? [`nodes ${frame.nodes.length}`] : []),
    ...(frame.phase === 'ready' ? [] : [frame.phase]),
  ].join('  ')
}

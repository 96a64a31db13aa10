// Canned: throw-away requests of clients ("give this a title", "Warmup"), answered here for accounts that ask for it.
import { setTimeout as pause } from 'node:timers/promises'
import type { Downstream } from '../answer/downstream.ts'
import type { Gateway } from '../gateway.ts'
import type { Call } from './receive.ts'

/** Whether a request is one of those that `warmup.*` describes. */
export function isWarmup({ config }: Gateway, { route, peek }: Call): boolean {
  if (route.kind !== 'generate') return false
  return peek.isWarmup({
    texts: config['warmup.texts'],
    exact: config['warmup.exact'],
    system: config['warmup.system'],
  })
}

const BETWEEN_FRAMES_MS = 20

/** The answer of spec/domain.md §11.1: no upstream, no usage row, no charge. */
export async function answerWarmup({ dialect, peek, stream }: Call, down: Downstream): Promise<void> {
  if (!stream) {
    down.json(200, dialect.warmupAnswer(peek.model))
    return
  }
  down.stream(200)
  down.quiet()
  for (const [i, frame] of dialect.warmupFrames(peek.model).entries()) {
    if (i > 0) await pause(BETWEEN_FRAMES_MS)
    down.check()
    down.write(frame)
  }
  down.end()
}

// How much memory outside the heap is held by what a test does, garbage not counted.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void
const inUse = () => process.memoryUsage().arrayBuffers / 1024 / 1024

/** The megabytes of buffers that are held once `act` has run, beyond those that were before. */
export async function heldBy(act: () => void): Promise<number> {
  await nextTurn()
  gc()
  const before = inUse()
  act()
  // What is garbage is not gone at the first collection; what is held is not gone at the hundredth.
  for (let i = 0; i < 100 && inUse() - before > 3; i++) {
    await nextTurn()
    gc()
  }
  return inUse() - before
}

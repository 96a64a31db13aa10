// Of what Node queues for its next tick one object is kept.
import t from 'tap'
import { keepTick } from '../../src/lib/tick.ts'

t.test('this Node shows it, and it is the same one ever after', async t => {
  const kept = keepTick() as { callback: unknown }
  t.type(kept.callback, 'function')
  await new Promise(resolve => process.nextTick(resolve))
  t.equal(keepTick(), kept)
})

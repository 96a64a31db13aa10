// Measures how soon a provider is told that a client has left: from the client's FIN to the close of the upstream's connection.
import t from 'tap'
import type { Step } from '../../src/mock/step.ts'
import { gateway, hello } from '../helpers/gateway.ts'
import { connect, post } from '../helpers/wire.ts'
import { percentiles } from './percentiles.ts'

const ABORTS = 1_000
const AT_ONCE = 8

const phases: [string, Step, object][] = [
  ['before headers', { hold: 'start' }, { stream: true }],
  ['mid-stream', { hold: 3 }, { stream: true }],
  ['non-stream', { hold: 1 }, {}],
]

t.setTimeout(170_000)
t.test('abort', { timeout: 170_000 }, async t => {
  for (const [phase, script, body] of phases)
    await t.test(phase, async t => {
      const gw = await gateway(t, { accounts: [{ script }] })
      const took: number[] = []
      let asked = 0
      while (took.length < ABORTS) {
        const wires = await Promise.all(
          Array.from({ length: AT_ONCE }, async () => {
            const wire = await connect(t, gw.url)
            await wire.write(post(gw.key, hello({ ...body, messages: [{ role: 'user', content: `${++asked}` }] })))
            return wire
          }),
        )
        await gw.mock.until(s => s.holding === AT_ONCE)
        for (const wire of wires) {
          const { aborted } = gw.mock.stats()
          const told = gw.mock.until(s => s.aborted > aborted)
          const since = performance.now()
          wire.leave()
          await told
          took.push(performance.now() - since)
        }
      }
      t.comment(`${phase}: FIN to upstream closed, ms: ${percentiles(took, [50, 99, 100])} (${took.length} aborts)`)
    })
})

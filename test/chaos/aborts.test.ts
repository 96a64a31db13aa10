// Ten thousand clients that leave at any moment: nothing stays behind, and no limit was ever exceeded.
import http from 'node:http'
import t from 'tap'
import { gateway, hello, until } from '../helpers/gateway.ts'

const COUNT = Number(process.env['GW_TEST_CHAOS'] ?? 10_000)
const AT_ONCE = 150

/** The same numbers in every run (Lehmer's generator, MINSTD). */
function seeded(seed: number): () => number {
  let x = seed
  return () => (x = (x * 48_271) % 2_147_483_647) / 2_147_483_647
}

t.test('whenever clients leave, every place is given back', async t => {
  const gw = await gateway(t, {
    user: { concurrency: 20 },
    accounts: [
      { name: 'a', concurrency: 6 },
      { name: 'b', concurrency: 8 },
    ],
    config: { 'queue.seats': 200, 'upstream.idle_connections': 0 },
  })
  gw.mock.script('*', [{ delayMs: 5, gapMs: 2 }, { delayMs: 30, gapMs: 5 }, { gapMs: 1 }, { delayMs: 15 }])
  const random = seeded(42)
  const ended = { aborted: 0, answered: 0, refused: 0 }

  const request = (n: number) =>
    new Promise<void>(resolve => {
      const body = JSON.stringify(hello({ stream: random() < 0.6, messages: [{ role: 'user', content: `${n}` }] }))
      const headers = {
        'x-api-key': gw.key,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
      }
      const req = http.request(`${gw.url}/v1/messages`, { method: 'POST', agent: false, headers })
      const end = (how: keyof typeof ended) => {
        clearTimeout(timer)
        ended[how]++
        resolve()
      }
      // Short waits are the commonest, so that all phases have their share: sending, queueing, waiting, streaming, done.
      // Some never leave, whose answer comes also on a machine that takes long for it.
      const patience = random() < 0.05 ? undefined : random() * random() * 900
      const timer =
        patience === undefined
          ? undefined
          : setTimeout(() => {
              req.destroy()
              end('aborted')
            }, patience)
      req.on('error', () => {})
      req.on('response', res => {
        res.on('error', () => {})
        res.on('end', () => end(res.statusCode === 200 ? 'answered' : 'refused'))
        res.resume()
      })
      if (random() < 0.9 || patience === undefined) req.end(body)
      else {
        req.write(body.slice(0, 20))
        if (random() < 0.5) setImmediate(() => req.end(body.slice(20)))
      }
    })

  let next = 0
  const client = async () => {
    while (next < COUNT) await request(next++)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, client))
  t.comment(JSON.stringify(ended))
  t.ok(ended.aborted > 0 && ended.answered > 0, 'some left, some stayed')

  await until(t, 'nothing is held and nobody waits', async () => {
    const { in_flight, waiting, users, accounts } = await gw.live()
    return in_flight + waiting + [...users, ...accounts].reduce((sum, x) => sum + x.slots.used + x.waiting, 0) === 0
  })
  await until(t, 'no seat is held either', () => gw.daemon.gateway.leases.size() === 0)
  await gw.mock.until(s => s.inFlight === 0)
  t.ok(gw.mock.stats('cred-a').maxConcurrency <= 6, `a: ${gw.mock.stats('cred-a').maxConcurrency} at once`)
  t.ok(gw.mock.stats('cred-b').maxConcurrency <= 8, `b: ${gw.mock.stats('cred-b').maxConcurrency} at once`)
})

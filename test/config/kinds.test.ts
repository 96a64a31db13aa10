// One promise: the kinds mean what they say where no setting shows it.

import t from 'tap'
import { isLoopback } from '../../src/config/address.ts'
import { list } from '../../src/config/kinds.ts'

t.test('a list is a YAML list or one line with commas', async t => {
  t.same(list().parse('a, b', '/'), ['a', 'b'])
  t.same(list().parseList?.(['a,b', 'c']), ['a,b', 'c'])
})

t.test('only addresses nobody else can reach count as loopback', async t => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', 'localhost'])
    t.ok(isLoopback({ host, port: 1 }), host)
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'gateway.local']) t.notOk(isLoopback({ host, port: 1 }), host)
  t.notOk(isLoopback({ fd: 3 }))
})

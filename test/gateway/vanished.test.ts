// A client that is gone without a word gives back what it holds, one that merely reads slowly keeps it.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import net from 'node:net'
import t, { type Test } from 'tap'
import { unanswered, Vanished } from '../../src/gateway/answer/vanished.ts'
import { gateway, hello, type TestGateway, until } from '../helpers/gateway.ts'
import { post } from '../helpers/wire.ts'

const titles = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n'
// As Linux 6.18 wrote them, between two network namespaces of which one had begun to drop what it got.
const recorded = `${titles}
   0: 00000000:1FA3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1066 1 00000000f9c730df 100 0 0 10 0
   1: 014D630A:1FA3 024D630A:A170 01 00000000:00000000 02:00000006 00000000     0        4 3901 2 00000000a9c730df 20 4 0 10 -1
   2: 014D630A:1FA3 024D630A:D54A 01 00000159:00000000 01:000001AC 00000006     0        0 3902 2 00000000b9c730df 3276 4 30 1 7
   3: 014D630A:1FA3 024D630A:B6D4 01 00097A88:00000000 04:00000297 00000000     0        0 3903 2 00000000c9c730df 416 4 30 10 -1
   4: 014D630A:1FA3 024D630A:94C4 01 00097A88:00000000 04:00000A12 00000000     0        4 3904 2 00000000d9c730df 3328 4 30 10 -1
   5: 014D630A:1FA4 024D630A:D54B 01 00000159:00000000 01:000001AC 00000006     0        0 3905 2 00000000e9c730df 3276 4 30 1 7
   6: 014D630A:1FA3 024D630A:D54C 01 0000000F:00000000 01:00000010 00000000  1000        0 3906 2 00000000e8c730df 20 4 30 10 -1
12345: 0100007F:1FA3 0100007F:0050 01 00000159:00000000 01:000001AC 0000000A 65534        0 3907 2 00000000e9c730df 3276 4 30 1 7
`
const recorded6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1FA3 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1066 1 00000000f9c730df 100 0 0 10 0
   1: B80D0120000000000000000001000000:1FA3 B80D0120000000000000000002000000:A170 01 00000159:00000000 01:000001AC 00000005     0        0 3902 2 00000000b9c730df 3276 4 30 1 7
   2: 0000000000000000FFFF00000100007F:1FA3 0000000000000000FFFF00000200007F:A171 01 00000159:00000000 01:000001AC 00000003     0        0 3902 2 00000000b9c730df 3276 4 30 1 7
`

t.test('the tables of the kernel say whose bytes nobody acknowledges', async t => {
  t.strictSame(
    [...unanswered(recorded, 0x1fa3)],
    [
      ['10.99.77.2 54602', 6],
      ['10.99.77.2 38084', 4],
      ['127.0.0.1 80', 10],
    ],
    'bytes sent again in vain and probes that nobody answers; not idle ones, nor a full window that is acknowledged, nor another port',
  )
  t.strictSame(
    [...unanswered(recorded6, 0x1fa3)],
    [
      ['2001:db8::2 41328', 5],
      ['127.0.0.2 41329', 3],
    ],
  )
  for (const odd of ['', 'x', titles, `${titles}\n\n: : :\n`, recorded.slice(0, 400)])
    t.strictSame([...unanswered(odd, 0x1fa3)], [])
})

const long = (gw: TestGateway) => post(gw.key, hello({ stream: true }))
const endless = { chunks: new Array<string>(5_000).fill('word '), gapMs: 20 }

/** A client that streams, on a socket of its own. */
async function streaming(t: Test, gw: TestGateway) {
  const { hostname, port } = new URL(gw.url)
  const socket = net.connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1'))).on('error', () => {})
  socket.write(long(gw))
  await until(t, 'its stream runs', () => text.includes('text_delta'))
  return socket
}

t.test('who acknowledges nothing for a while is let go of, who does so now and then is not', async t => {
  const gw = await gateway(t, { accounts: [{ script: endless }] })
  const { live } = gw.daemon.gateway
  const port = Number(new URL(gw.url).port)
  const [gone, lossy, well] = [await streaming(t, gw), await streaming(t, gw), await streaming(t, gw)]
  let now = Date.now() + 10_000
  let table = ''
  const vanished = new Vanished({ live, port: () => port, now: () => now, read: async () => [titles + table] })
  const hex = (n: number) => n.toString(16).toUpperCase().padStart(4, '0')
  const line = (socket: net.Socket, tries: number) =>
    `   1: 0100007F:${hex(port)} 0100007F:${hex(socket.localPort!)} 01 00000159:00000000 01:000001AC 0000000${tries}     0        0 3902 2 0 3276 4 30 1 7\n`
  // A look every 3 s: how often bytes were sent to each in vain by then.
  const looks = [
    [1, 1],
    [3, 3],
    [4, 4],
    [5, 2],
    [5, 3],
  ] as const
  for (const [of, ofLossy] of looks) {
    table = line(gone, of) + line(lossy, ofLossy)
    await vanished.look()
    now += 3_000
  }
  t.equal(live.size, 3, 'not before 15 s')
  table = line(gone, 6) + line(lossy, 4)
  await vanished.look()
  await until(t, 'the one that is gone is let go of', () => live.size === 2)
  await until(t, 'its places are free', async () => (await gw.live()).users[0]?.slots.used === 2)
  const [row] = await gw.usage(1)
  t.match(row, { status: 499, partial: true })
  now += 60_000
  table = line(lossy, 2)
  await vanished.look()
  t.equal(live.size, 2, 'what began to be better begins anew')
  for (const socket of [lossy, well]) socket.destroy()
  await until(t, 'everybody has left', () => live.size === 0)
})

t.test('while there are young requests only, nobody looks', async t => {
  const gw = await gateway(t, { accounts: [{ script: { hold: true } }] })
  const { live } = gw.daemon.gateway
  let looked = 0
  let now = Date.now()
  const read = async () => {
    looked++
    return []
  }
  const vanished = new Vanished({ live, port: () => 1, now: () => now, read })
  await vanished.look()
  const reply = gw.send(hello())
  await until(t, 'it is under way', () => gw.mock.stats().inFlight === 1)
  await vanished.look()
  t.equal(looked, 0)
  now += 20_000
  await vanished.look()
  t.equal(looked, 1)
  await new Vanished({ live, port: () => undefined, now: () => now, read }).look()
  t.equal(looked, 1, 'nor on a unix socket')
  gw.mock.release()
  t.equal((await reply).status, 200)
})

t.test('a client that stops reading is not taken for gone', async t => {
  const gw = await gateway(t, { accounts: [{ script: { hugeBytes: 30 * 1024 * 1024, hold: 5 } }] })
  const { live } = gw.daemon.gateway
  const port = Number(new URL(gw.url).port)
  const { hostname } = new URL(gw.url)
  const socket = net.connect(port, hostname)
  t.teardown(() => socket.destroy())
  socket.write(long(gw))
  socket.pause()
  await until(t, 'it is asked', () => live.size === 1)
  const full = (client: number) => (text: string) =>
    new RegExp(`:${client.toString(16).toUpperCase().padStart(4, '0')} 01 \\S+ 04:`).test(text)
  let now = Date.now()
  const kernel = () => ['/proc/net/tcp', '/proc/net/tcp6'].filter(existsSync).map(file => readFileSync(file, 'latin1'))
  if (kernel().length > 0)
    await until(t, 'the kernel probes its full window', () => kernel().some(full(socket.localPort!)))
  // The kernel's own words, where it has any.
  const vanished = new Vanished({ live, port: () => port, now: () => now })
  for (let i = 0; i < 10; i++) {
    now += 30_000
    await vanished.look()
  }
  t.equal(live.size, 1)
  socket.destroy()
  gw.mock.release()
  await until(t, 'it left', () => live.size === 0)
})

/** A network of its own for a client, where this machine lets us make one: `cut` makes it drop what comes. */
function network(t: Test) {
  const name = `gw${process.pid}`
  // Its own also where two runs of this test meet.
  const subnet = `10.${200 + (process.pid % 50)}.${Math.floor(process.pid / 50) % 256}`
  const [here, there] = [`${subnet}.1`, `${subnet}.2`]
  const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'ignore' })
  try {
    ip('netns', 'add', name)
    t.teardown(() => ip('netns', 'del', name))
    ip('link', 'add', `${name}a`, 'type', 'veth', 'peer', 'name', `${name}b`, 'netns', name)
    ip('addr', 'add', `${here}/30`, 'dev', `${name}a`)
    ip('link', 'set', `${name}a`, 'up')
    ip('-n', name, 'addr', 'add', `${there}/30`, 'dev', `${name}b`)
    ip('-n', name, 'link', 'set', `${name}b`, 'up')
  } catch {
    return undefined
  }
  return { name, here, cut: () => ip('-n', name, 'route', 'add', 'blackhole', `${here}/32`) }
}

t.test('a client whose network is cut is let go of, where the machine lets us cut one', async t => {
  const net = network(t)
  const host = net?.here ?? '127.0.0.1'
  const gw = await gateway(t, { config: { listen: { host, port: 0 } }, accounts: [{ script: endless }] })
  const { live } = gw.daemon.gateway
  const port = Number(new URL(gw.url).port)
  const start = Date.now()
  // Ten times as fast as the clock: what we wait for is the kernel's third attempt.
  const vanished = new Vanished({ live, port: () => port, now: () => start + (Date.now() - start) * 10 })
  const look = async () => {
    await vanished.look()
    return live.size === 0
  }
  const say = `const s = require('net').connect(${port}, '${host}', () => s.write(process.argv[1])); s.pipe(process.stdout); s.on('error', () => {})`
  const node = [process.execPath, '-e', say, long(gw)] as const
  const [command, ...args] = net ? ['ip', 'netns', 'exec', net.name, ...node] : node
  const client = spawn(command!, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  t.teardown(() => client.kill('SIGKILL'))
  let heard = ''
  client.stdout.on('data', (chunk: Buffer) => (heard += chunk.toString('latin1')))
  await until(t, 'its stream runs', () => heard.includes('text_delta'))
  for (let i = 0; i < 5; i++) t.equal(await look(), false, 'all is well')
  if (net) net.cut()
  else client.kill('SIGKILL')
  await until(t, 'its request is over', look)
  const [row] = await gw.usage(1)
  t.match(row, { status: 499, partial: true })
})

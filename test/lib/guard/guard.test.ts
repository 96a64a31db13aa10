// The guard (spec/domain.md §12.9): no spelling of an address, and no name server, leads it to where nobody may go.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import path from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { ask } from '../../../src/egress/ask.ts'
import { clientGuard } from '../../../src/lib/guard/client.ts'
import { createGuard, type GuardOptions } from '../../../src/lib/guard/guard.ts'
import { canonical, refusedAddress } from '../../../src/lib/guard/ranges.ts'
import { readUrl } from '../../../src/lib/guard/url.ts'
import { nameServer } from '../../helpers/names.ts'

const strict = { allowPrivate: false }

// promises.md chapter 4 no 5.
const corpus = [
  'https://127.0.0.1',
  'https://127.255.255.254',
  'https://[::1]',
  'https://[::ffff:127.0.0.1]',
  'https://0x7f.1',
  'https://2130706433',
  'https://169.254.169.254/latest/meta-data/',
  'https://[fd00::1]',
  'https://metadata.google.internal/computeMetadata/v1/',
  'https://[::]',
  'https://user:secret@example.com',
  'https://example.com@127.0.0.1',
  'http://[::]',
]

// As many ways to say it again.
const spellings = [
  'https://localhost',
  'https://LOCALHOST.',
  'https://localhost..',
  'https://a.localhost:8443/x',
  'https://printer.local',
  'https://db.internal.',
  'https://router.home.arpa',
  'https://metadata',
  'https://instance-data/latest',
  'https://%6c%6f%63%61%6c%68%6f%73%74',
  'https://ｌｏｃａｌｈｏｓｔ',
  'https://ⓛocalhost',
  'https://127.1',
  'https://127.0.1',
  'https://127.0.0.1.',
  'https://127。0。0。1',
  'https://①②⑦.⓪.⓪.①',
  'https://%31%32%37.0.0.1',
  'https://0177.0.0.1',
  'https://0x7f000001',
  'https://0X7F.0x0.0x0.0x1',
  'https://017700000001',
  'https://0',
  'https://0.0.0.0',
  'https://0x0',
  'https://10.1.2.3',
  'https://167772161',
  'https://172.16.0.1',
  'https://172.31.255.255',
  'https://192.168.1.1',
  'https://3232235777',
  'https://100.64.0.1',
  'https://100.127.255.255',
  'https://192.0.0.170',
  'https://192.0.2.1',
  'https://198.18.0.1',
  'https://198.51.100.7',
  'https://203.0.113.7',
  'https://192.88.99.1',
  'https://224.0.0.1',
  'https://240.0.0.1',
  'https://255.255.255.255',
  'https://2852039166',
  'https://0xA9FEA9FE',
  'https://0251.0376.0251.0376',
  'https://168.63.129.16',
  'https://100.100.100.200',
  'https://[0:0:0:0:0:0:0:1]',
  'https://[::127.0.0.1]',
  'https://[::7f00:1]',
  'https://[::ffff:7f00:1]',
  'https://[::ffff:a00:1]',
  'https://[::ffff:0:127.0.0.1]',
  'https://[64:ff9b::127.0.0.1]',
  'https://[64:ff9b::a9fe:a9fe]',
  'https://[64:ff9b:1::1]',
  'https://[2002:7f00:1::]',
  'https://[2002:a9fe:a9fe::1]',
  'https://[2001:0:7f00:1::1]',
  // The client of a Teredo address stands there with its bits turned over: 10.0.0.1.
  'https://[2001:0:808:808:0:0:f5ff:fffe]',
  'https://[2606:4700::200:5efe:10.0.0.1]',
  'https://[2001:db8::1]',
  'https://[3fff::1]',
  'https://[fe80::1]',
  'https://[febf::1]',
  'https://[fec0::1]',
  'https://[fc00::1]',
  'https://[fd00:ec2::254]',
  'https://[ff02::1]',
  'https://[100::1]',
  'https://[4000::1]',
  'https:\\\\127.0.0.1\\x',
  'https:/127.0.0.1',
  'https:127.0.0.1',
  'https:///127.0.0.1',
  'https://@127.0.0.1',
  'https://@example.com',
  'https://:@example.com',
  'https://example.com:443@10.0.0.1/',
  'https://a:b@example.com',
  'https://example.com\\@10.0.0.1',
  'https://10.0.0.1\\@example.com',
  'https://10.0.0.1#@example.com',
  'https://10.0.0.1?@example.com',
  'https://exa mple.com',
  'https://example.com/\r\nHost: x',
  'https://exam\tple.com',
  'https://example.com\u0000',
  'https://example.com:0',
  'https://example.com:65536',
  'https://example.com:x',
  'https://',
  '',
  '   ',
  'example.com',
  '//example.com',
  'http://example.com',
  'ftp://example.com',
  'file:///etc/passwd',
  'gopher://example.com',
  'javascript:alert(1)',
  'https://[fe80::1%25eth0]',
  'https://[::1',
  'https://256.256.256.256',
  'https://1.2.3.4.5',
]

t.test('what must not be reached is refused in every spelling, and the refusal never quotes a secret', async t => {
  t.ok(spellings.length >= 40)
  for (const text of [...corpus, ...spellings]) {
    const read = readUrl(text, strict)
    t.type(read, 'string', JSON.stringify(text))
    t.notMatch(read, /secret/)
  }
})

t.test('what is of the internet is let through, in its normal form', async t => {
  const good: Record<string, string> = {
    ' https://hooks.example.com/T0/B0?x=1 ': 'https://hooks.example.com/T0/B0?x=1',
    'https://Example.COM.': 'https://example.com/',
    'https://example.com:8443/#top': 'https://example.com:8443/',
    'https://example.com/@at': 'https://example.com/@at',
    'https://example.com/?to=a@b': 'https://example.com/?to=a@b',
    'https://93.184.216.34': 'https://93.184.216.34/',
    'https://0x5db8d822': 'https://93.184.216.34/',
    'https://[2606:4700::1111]': 'https://[2606:4700::1111]/',
    'https://[64:ff9b::93.184.216.34]': 'https://[64:ff9b::5db8:d822]/',
    'https://[2002:5db8:d822::1]': 'https://[2002:5db8:d822::1]/',
    'https://bücher.example': 'https://xn--bcher-kva.example/',
    'https://172.32.0.1': 'https://172.32.0.1/',
    'https://100.128.0.1': 'https://100.128.0.1/',
    'https://169.253.0.1': 'https://169.253.0.1/',
    'https://notlocalhost.example': 'https://notlocalhost.example/',
  }
  for (const [text, url] of Object.entries(good)) t.equal(String(readUrl(text, strict)), url)
})

t.test('where private addresses are allowed plain http is too, but never metadata, multicast and the like', async t => {
  const lax = { allowPrivate: true }
  for (const text of [
    'http://127.0.0.1:9000',
    'https://10.0.0.1',
    'http://[fd12::1]',
    'http://localhost:1',
    'http://relay/x',
  ])
    t.ok(readUrl(text, lax) instanceof URL, text)
  for (const text of [
    'http://169.254.169.254',
    'http://[::ffff:169.254.169.254]',
    'http://[fd00:ec2::254]',
    'http://0.0.0.0',
    'http://[::]',
    'http://224.0.0.1',
    'http://[fe80::1]',
    'ftp://10.0.0.1',
    'http://u:p@10.0.0.1',
  ])
    t.type(readUrl(text, lax), 'string', text)
})

t.test('every range of §12.9.4 is refused from its first address to its last, and no further', async t => {
  const edges: [string, string, string, string][] = [
    ['', '0.0.0.0', '0.255.255.255', '1.0.0.0'],
    ['9.255.255.255', '10.0.0.0', '10.255.255.255', '11.0.0.0'],
    ['100.63.255.255', '100.64.0.0', '100.127.255.255', '100.128.0.0'],
    ['126.255.255.255', '127.0.0.0', '127.255.255.255', '128.0.0.0'],
    ['169.253.255.255', '169.254.0.0', '169.254.255.255', '169.255.0.0'],
    ['172.15.255.255', '172.16.0.0', '172.31.255.255', '172.32.0.0'],
    ['191.255.255.255', '192.0.0.0', '192.0.0.255', '192.0.1.0'],
    ['192.0.1.255', '192.0.2.0', '192.0.2.255', '192.0.3.0'],
    ['192.88.98.255', '192.88.99.0', '192.88.99.255', '192.88.100.0'],
    ['192.167.255.255', '192.168.0.0', '192.168.255.255', '192.169.0.0'],
    ['198.17.255.255', '198.18.0.0', '198.19.255.255', '198.20.0.0'],
    ['198.51.99.255', '198.51.100.0', '198.51.100.255', '198.51.101.0'],
    ['203.0.112.255', '203.0.113.0', '203.0.113.255', '203.0.114.0'],
    ['223.255.255.255', '224.0.0.0', '255.255.255.255', ''],
    ['2001:db7:ffff::', '2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff', '2001:db9::'],
    ['', 'fc00::', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', ''],
    ['', 'fe80::', 'febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff', ''],
    ['', 'ff00::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', ''],
    ['', '::', '::1', ''],
  ]
  for (const [before, first, last, after] of edges) {
    for (const bad of [first, last]) {
      t.ok(refusedAddress(bad), bad)
      if (net.isIP(bad) === 4)
        for (const way of ['::ffff:', '::', '64:ff9b::', '::ffff:0:'])
          t.ok(refusedAddress(`${way}${bad}`), `${way}${bad}`)
    }
    for (const good of [before, after])
      if (good !== '') {
        t.equal(refusedAddress(good), undefined, good)
        if (net.isIP(good) === 4) t.equal(refusedAddress(`64:ff9b::${good}`), undefined, `64:ff9b::${good}`)
      }
  }
  t.equal(refusedAddress('fe80::1%eth0'), 'link-local')
  t.equal(refusedAddress('nonsense'), 'not an address')
  t.equal(canonical('::FFFF:1.2.3.4'), '1.2.3.4')
  t.equal(canonical('2606:4700:0:0::1'), canonical('2606:4700::1'))
})

// Loopback has many addresses: here 127.0.0.1 is what must not be reached, and the others stand for the internet.
const home = ['127.0.0.1', canonical('::1')]
const onlyOne = (address: string) => (home.includes(canonical(address)) ? 'loopback' : undefined)
const guardOf = (options: Partial<GuardOptions>) =>
  createGuard({ allowPrivate: true, setting: 'x', refused: onlyOne, ...options })

async function server(t: Test, host: string, port = 0) {
  const got: string[] = []
  const made = http.createServer((request, response) => {
    got.push(request.url!)
    if (request.url === '/moved') response.writeHead(302, { location: `http://127.0.0.1:${port}/secret` }).end('there')
    else if (request.url === '/large') response.end(Buffer.alloc(1_000_000, 97))
    else if (request.url !== '/silent') response.end(`hello from ${host}`)
  })
  let connections = 0
  made.on('connection', () => connections++)
  made.listen(port, host)
  await once(made, 'listening')
  t.teardown(() => {
    made.closeAllConnections()
    made.close()
  })
  return {
    got,
    port: (made.address() as net.AddressInfo).port,
    get connections() {
      return connections
    },
  }
}

t.test('a name server that changes its answer leads nobody astray', async t => {
  const good = await server(t, '127.0.0.2')
  const bad = await server(t, '127.0.0.1', good.port)
  const names = await nameServer(t, {
    'rebind.test': [['127.0.0.2'], ['127.0.0.1']],
    'both.test': [['127.0.0.2', '127.0.0.1']],
    'mapped.test': [['127.0.0.2', '::ffff:7f00:1']],
    'six.test': [['::1']],
    'none.test': [[]],
  })
  const guard = guardOf({ resolve: names.resolve })
  const get = (host: string) =>
    ask(
      { url: new URL(`http://${host}:${good.port}/x`), method: 'GET', headers: {} },
      { through: null, guard, timeoutMs: 10_000 },
    )

  t.match(await get('rebind.test'), { status: 200, body: 'hello from 127.0.0.2' })
  t.equal(names.asked['rebind.test 4'], 1, 'it is asked once: what was judged is what is dialled')
  await t.rejects(get('rebind.test'), {
    code: 'EGUARD',
    message: 'the host rebind.test has the address 127.0.0.1, which is loopback',
  })
  t.equal(names.asked['rebind.test 4'], 2, 'and again at the next connection')
  await t.rejects(get('both.test'), { code: 'EGUARD' }, 'one bad address among good ones refuses all')
  await t.rejects(get('mapped.test'), { code: 'EGUARD' })
  await t.rejects(get('six.test'), { code: 'EGUARD' })
  await t.rejects(get('none.test'), { code: 'EGUARD', message: /has no address/ })
  await t.rejects(get('absent.test'), { code: 'ENOTFOUND' })
  t.equal(bad.connections, 0, 'nobody ever knocked where nobody may go')
  t.equal(good.connections, 1)
})

t.test('who answers is judged before a byte is written, wherever the connection went', async t => {
  const bad = await server(t, '127.0.0.1')
  const other = await server(t, '127.0.0.3')
  const guard = guardOf({ resolve: async () => ['127.0.0.2'] })
  const astray = async (socket: net.Socket) => {
    socket.write('GET /astray HTTP/1.1\r\nHost: x\r\n\r\n')
    const [error] = await once(socket, 'error')
    return error as NodeJS.ErrnoException
  }
  const literal = await astray(guard.connect(() => net.connect(bad.port, '127.0.0.1')))
  t.match(literal, { code: 'EGUARD', message: 'who answered is 127.0.0.1, which is loopback' })
  const swapped = await astray(
    guard.connect(lookup => {
      const elsewhere: net.LookupFunction = (host, options, found) =>
        lookup(host, options, () => found(null, [{ address: '127.0.0.3', family: 4 }]))
      return net.connect({ host: 'x.test', port: other.port, lookup: elsewhere })
    }),
  )
  t.match(swapped, { code: 'EGUARD', message: /none of the addresses that were looked up/ })
  t.strictSame([bad.got, other.got], [[], []], 'nothing was asked of either')
})

t.test('redirects are not followed, bodies are cut, and silence ends in its time', async t => {
  const { port, got } = await server(t, '127.0.0.2')
  const guard = guardOf({ resolve: async () => ['127.0.0.2'] })
  const options = { through: null, guard, timeoutMs: 10_000 }
  const get = (path: string) => ({ url: new URL(`http://a.test:${port}${path}`), method: 'GET', headers: {} })
  t.match(await ask(get('/moved'), options), { status: 302 })
  t.equal((await ask(get('/large'), { ...options, mostBytes: 1000 })).body.length, 1000)
  await t.rejects(ask(get('/silent'), { ...options, timeoutMs: 200 }), { code: 'ETIMEDOUT', message: /no answer/ })
  const never = guardOf({ resolve: () => new Promise(() => {}) })
  await t.rejects(ask(get('/x'), { ...options, guard: never, connectMs: 200 }), {
    code: 'ETIMEDOUT',
    message: 'no connection in 0.2 s',
  })
  t.strictSame(got, ['/moved', '/large', '/silent'])
})

t.test('what the environment says of proxies is not heard', async t => {
  const proxy = await server(t, '127.0.0.1')
  const { port } = await server(t, '127.0.0.2')
  // Node reads these when it starts.
  const env: NodeJS.ProcessEnv = { ...process.env, NODE_USE_ENV_PROXY: '1' }
  for (const name of ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY']) env[name] = `http://127.0.0.1:${proxy.port}`
  const from = (file: string) => JSON.stringify(path.join(import.meta.dirname, '../../../src', file))
  const script = `
    import { createGuard } from ${from('lib/guard/guard.ts')}
    import { ask } from ${from('egress/ask.ts')}
    const guard = createGuard({ allowPrivate: true, setting: 'x', resolve: async () => ['127.0.0.2'] })
    const url = new URL('http://a.test:${port}/x')
    console.log((await ask({ url, method: 'GET', headers: {} }, { through: null, guard, timeoutMs: 10_000 })).body)`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { env })
  t.equal(stdout, 'hello from 127.0.0.2\n')
  t.equal(proxy.connections, 0)
})

t.test('what a client names is the public internet by https, and no setting is told that would allow more', async t => {
  const guard = clientGuard()
  for (const url of [
    'http://example.com',
    'https://127.0.0.1',
    'https://10.0.0.1',
    'https://localhost',
    'https://[::1]',
  ])
    await t.rejects(guard.check(new URL(url)), { code: 'EGUARD', message: /^the URL [^()]+$/ }, url)
  t.equal(guard.problem(new URL('https://example.com')), undefined)
})

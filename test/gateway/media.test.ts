// Media by URL for Gemini and Antigravity (spec/wire.md §4.1, spec/domain.md §12.9): fetched through the guard, once for a request, and given
// as bytes; what cannot be had, or may not be, is refused in words that tell a client nothing of the inside.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import path from 'node:path'
import t, { type Test } from 'tap'
import { addAccount } from '../../src/core/record/account.ts'
import { MOST_URLS } from '../../src/gateway/ask/fetch.ts'
import type { Fetching } from '../../src/gateway/gateway.ts'
import { createGuard } from '../../src/lib/guard/guard.ts'
import { refusedAddress } from '../../src/lib/guard/ranges.ts'
import { gateway, type TestGateway, until } from '../helpers/gateway.ts'
import { type Lane, laneCredential, lanes } from '../helpers/lanes.ts'

// biome-ignore lint/suspicious/noExplicitAny: whatever a body holds
type Any = any

const fixture = (name: string) => readFileSync(path.join(import.meta.dirname, '../fixtures', name), 'utf8')
// Nobody has signed it but itself; valid till 2126.
const certificate = { cert: fixture('pictures.cert.pem'), key: fixture('pictures.key.pem') }

const png = Buffer.from('\x89PNG\r\n\x1a\n and a picture', 'latin1')
const jpeg = Buffer.from('\xff\xd8\xff\xe0 and a picture', 'latin1')
const gif = Buffer.from('GIF89a and a picture', 'latin1')
const pdf = Buffer.from('%PDF-1.7 and pages')
const secret = 'what only the inside may read'
const ROOM = 64 * 1024

interface Answer {
  status?: number
  headers?: Record<string, string>
  body?: Buffer | string
  /** it begins, and goes no further */
  stuck?: boolean
}

const typed = (type: string, body: Buffer | string): Answer => ({ headers: { 'content-type': type }, body })
const answers: Record<string, Answer> = {
  '/a.png': typed('image/png', png),
  '/b.jpg': typed('image/jpeg; charset=binary', jpeg),
  '/vague': typed('application/octet-stream', png),
  '/untyped': { body: jpeg },
  '/mislabelled.jpg': typed('image/jpeg', png),
  '/a.gif': typed('image/gif', gif),
  '/a.pdf': typed('application/pdf', pdf),
  '/a.txt': typed('text/plain; charset=utf-8', 'eine Seite, grün'),
  '/latin.txt': typed('text/plain; charset=latin1', Buffer.from('gr\xfcn', 'latin1')),
  '/page.html': typed('text/html', `<html>${secret}</html>`),
  '/liar.png': typed('image/png', `<html>${secret}</html>`),
  '/odd': typed(`image/${secret}`, 'x'),
  '/empty.png': typed('image/png', ''),
  '/moved': { status: 302, headers: { location: 'https://10.0.0.1/inside' }, body: secret },
  '/gone': { status: 404, headers: { 'content-type': 'image/png' }, body: secret },
  '/partial': { status: 206, headers: { 'content-type': 'image/png' }, body: png },
  '/zipped.png': { headers: { 'content-type': 'image/png', 'content-encoding': 'gzip' }, body: png },
  '/announced.png': { headers: { 'content-type': 'image/png', 'content-length': String(10 * ROOM) }, stuck: true },
  '/large.png': typed('image/png', Buffer.concat([png, Buffer.alloc(2 * ROOM)])),
  '/half.png': typed('image/png', Buffer.concat([png, Buffer.alloc(ROOM / 2)])),
  '/stuck.png': { headers: { 'content-type': 'image/png' }, stuck: true },
}

const names: Record<string, string[]> = {
  'pictures.example': ['127.0.0.1'],
  'trap.pictures.example': ['127.0.0.1', '10.0.0.1'],
  'inside.pictures.example': ['10.1.2.3'],
  'metadata.pictures.example': ['169.254.169.254'],
  'six.pictures.example': ['::ffff:192.168.0.7'],
  'other.example': ['127.0.0.1'],
}

/** A server of pictures, of which 127.0.0.1 stands for the internet. Names are looked up in `names`. */
async function pictures(t: Test) {
  const asked: string[] = []
  const headers: https.RequestOptions['headers'][] = []
  const open = new Set<Socket>()
  const server = https.createServer(certificate, (req, res) => {
    asked.push(req.url!)
    headers.push(req.headers)
    if (req.url === '/cut.png') {
      res.writeHead(200, { 'content-type': 'image/png', 'content-length': '1000' })
      res.write(png, () => req.socket.destroy())
      return
    }
    const { status = 200, headers: more = {}, body, stuck } = answers[req.url!] ?? { status: 404 }
    res.writeHead(status, more)
    if (stuck) res.write(png)
    else res.end(body)
  })
  server.on('secureConnection', (socket: Socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket)).on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const fetching: Fetching = {
    guard: createGuard({
      allowPrivate: false,
      resolve: async host => names[host] ?? Promise.reject(Object.assign(new Error('no'), { code: 'ENOTFOUND' })),
      refused: address => (address === '127.0.0.1' ? undefined : refusedAddress(address)),
    }),
    ca: certificate.cert,
  }
  const at = (path: string, host = 'pictures.example') => `https://${host}:${port}${path}`
  return { asked, headers, open, fetching, at, port }
}

const image = (...urls: string[]) => ({
  model: 'gemini-3.6-flash',
  messages: [{ role: 'user', content: urls.map(url => ({ type: 'image_url', image_url: { url } })) }],
})
const claude = (type: 'image' | 'document', url: string) => ({
  model: 'gemini-3.6-flash',
  max_tokens: 9,
  messages: [{ role: 'user', content: [{ type, source: { type: 'url', url } }] }],
})

interface Told {
  status: number
  text: string
  error: { message: string; param?: string; code?: string }
}

async function setUp(t: Test, setup: Parameters<typeof lanes>[1] = {}, of: Lane[] = ['gemini', 'antigravity']) {
  const server = await pictures(t)
  const gw = await gateway(t, { fetching: server.fetching, config: { 'limits.decoded_body': ROOM } })
  const keys = await lanes(gw, setup, of)
  const send = async (lane: Lane, body: object, path = '/v1/chat/completions'): Promise<Told> => {
    const reply = await gw.send(body, { path, key: keys[lane] })
    const text = await reply.text()
    return { status: reply.status, text, error: JSON.parse(text).error }
  }
  return { ...server, gw, keys, send }
}

/** What the provider was asked last, without the envelope. */
function partsOf(gw: TestGateway, credential: string): Any[] {
  const { body } = gw.mock.stats(credential).bodies.at(-1)!
  const said = JSON.parse(body!)
  const request = said.request ?? said.generateContentRequest ?? said
  return request.contents.flatMap(({ parts }: Any) => parts)
}

const inline = (mimeType: string, data: Buffer) => ({ inlineData: { mimeType, data: data.toString('base64') } })

t.test('what a client names by URL, Gemini and Antigravity are given as bytes', async t => {
  const { gw, keys, send, at, asked, headers } = await setUp(t)
  for (const lane of ['gemini', 'antigravity'] as const) {
    asked.length = 0
    const urls = ['/a.png', '/b.jpg', '/a.png', '/vague', '/untyped', '/mislabelled.jpg'].map(path => at(path))
    const told = await send(lane, image(...urls))
    t.equal(told.status, 200, told.text)
    t.strictSame(
      partsOf(gw, laneCredential(lane)),
      [
        inline('image/png', png),
        inline('image/jpeg', jpeg),
        inline('image/png', png),
        inline('image/png', png),
        inline('image/jpeg', jpeg),
        inline('image/png', png),
      ],
      'the bytes say what they are where their server does not',
    )
    t.strictSame(asked.toSorted(), ['/a.png', '/b.jpg', '/mislabelled.jpg', '/untyped', '/vague'], 'each URL once')
  }
  for (const one of headers) {
    t.match(one, { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': /^gw\// })
    t.strictSame(
      Object.keys(one!).sort(),
      ['accept', 'accept-encoding', 'connection', 'host', 'user-agent'],
      'nothing of the client goes there',
    )
  }

  const parts = () => partsOf(gw, laneCredential('gemini'))
  t.equal((await send('gemini', claude('document', at('/a.pdf')), '/v1/messages')).status, 200)
  t.strictSame(parts(), [inline('application/pdf', pdf)])
  const file = { type: 'input_file', file_url: at('/a.txt') }
  const item = { model: 'gemini-3.6-flash', input: [{ role: 'user', content: [file] }] }
  t.equal((await send('gemini', item, '/v1/responses')).status, 200)
  t.strictSame(parts(), [inline('text/plain', Buffer.from('eine Seite, grün'))])

  const tool = { type: 'tool_use', id: 'toolu_1', name: 'look', input: {} }
  const found = {
    type: 'tool_result',
    tool_use_id: 'toolu_1',
    content: [{ type: 'image', source: { type: 'url', url: at('/a.png') } }],
  }
  const called = {
    ...claude('image', at('/b.jpg')),
    tools: [{ name: 'look', input_schema: { type: 'object' } }],
  }
  called.messages.push({ role: 'assistant', content: [tool] } as Any, { role: 'user', content: [found] } as Any)
  t.equal((await send('gemini', called, '/v1/messages')).status, 200)
  t.strictSame(
    parts().at(-1).functionResponse.parts,
    [inline('image/png', png)],
    'those that a tool found are fetched, too',
  )

  asked.length = 0
  const counted = await send('gemini', claude('image', at('/a.png')), '/v1/messages/count_tokens')
  t.equal(counted.status, 200, counted.text)
  t.strictSame([parts(), asked], [[inline('image/png', png)], ['/a.png']], 'also to be counted')
  asked.length = 0
  const own = ['https://www.youtube.com/watch?v=1', 'gs://bucket/a.png']
  t.equal((await send('gemini', image(...own))).status, 200)
  t.strictSame(
    [parts(), asked],
    [own.map(fileUri => ({ fileData: { fileUri } })), []],
    'what Gemini reads itself stays as it is',
  )

  gw.daemon.gateway.config = { ...gw.daemon.gateway.config, 'translate.fetch_urls': false }
  const off = await gw.send(image(at('/a.png')), { path: '/v1/chat/completions', key: keys.gemini })
  t.match(await off.json(), {
    error: { code: 'UNTRANSLATABLE', param: 'messages.image', message: /send the bytes, as base64/ },
  })
  t.strictSame(asked, [], 'an operator may turn it off')
})

t.test('what cannot be had, or may not be, is refused by the client’s own field and in words (§12.9)', async t => {
  const { gw, send, at, asked, open, fetching, port } = await setUp(t)
  const before = () => gw.mock.stats().requests
  const nowhere = (host: string) => `${host}, which its URL names, has no address on the public internet`
  const many = Array.from({ length: MOST_URLS + 1 }, (_, i) => at(`/${i}.png`))
  const rows: [what: string, urls: string[], why: string | RegExp, asks?: boolean][] = [
    ['plain http', [`http://pictures.example:${port}/a.png`], 'its URL must begin with https://'],
    ['no URL', ['a.png'], 'its URL is not a URL, or has a host or port that none can have'],
    ['a password', [at('/a.png').replace('//', '//me:hunter2@')], 'its URL carries a user or password'],
    ['loopback', [`https://127.0.0.1:${port}/a.png`], 'its URL has the address 127.0.0.1, which is loopback'],
    ['loopback, in disguise', ['https://0x7f.1/a.png'], 'its URL has the address 127.0.0.1, which is loopback'],
    ['an IPv6 address', ['https://[fd00::1]/a.png'], 'its URL has the address fd00::1, which is private'],
    ['a file', ['file:///etc/passwd'], 'its URL must begin with https://'],
    [
      'metadata by name',
      ['https://metadata.google.internal/x'],
      'its URL has the host metadata.google.internal, a name of this machine or its own network',
    ],
    ['a name that leads inside', [at('/a.png', 'inside.pictures.example')], nowhere('inside.pictures.example')],
    ['a name with one bad address', [at('/a.png', 'trap.pictures.example')], nowhere('trap.pictures.example')],
    ['metadata', [at('/a.png', 'metadata.pictures.example')], nowhere('metadata.pictures.example')],
    ['IPv4 in IPv6', [at('/a.png', 'six.pictures.example')], nowhere('six.pictures.example')],
    ['a name that nobody has', [at('/a.png', 'none.pictures.example')], nowhere('none.pictures.example')],
    [
      'another’s certificate',
      [at('/a.png', 'other.example')],
      'other.example, which its URL names, shows a certificate that is not trusted',
    ],
    [
      'a closed port',
      ['https://pictures.example:1/a.png'],
      'pictures.example, which its URL names, could not be reached or broke off',
    ],
    ['broken off', [at('/cut.png')], 'pictures.example, which its URL names, could not be reached or broke off', true],
    [
      'a redirect',
      [at('/moved')],
      'pictures.example answered 302 for its URL, a redirect, which is not followed',
      true,
    ],
    ['an error', [at('/gone')], 'pictures.example answered 404 for its URL', true],
    ['a part', [at('/partial')], 'pictures.example answered 206 for its URL', true],
    ['a page', [at('/page.html')], 'pictures.example gives text/html for its URL, which is no image', true],
    ['an odd type', [at('/odd')], /no image of a kind|gives something else/, true],
    [
      'a page that lies',
      [at('/liar.png')],
      'what pictures.example gave for its URL is no image of a kind that is known',
      true,
    ],
    ['nothing', [at('/empty.png')], 'what pictures.example gave for its URL is no image of a kind that is known', true],
    [
      'another image',
      [at('/a.gif')],
      /^what its URL gives is image\/gif, and this model takes image\/png, image\/jpeg, /,
      true,
    ],
    ['compressed', [at('/zipped.png')], 'pictures.example gives it compressed, which was not asked for', true],
    [
      'too large, as announced',
      [at('/announced.png')],
      /^pictures\.example gives more than there is room for: .* 64KB$/,
      true,
    ],
    ['too large', [at('/large.png')], /^pictures\.example gives more than there is room for/, true],
    [
      'too large together',
      [at('/half.png'), at('/half.png?2')],
      /^pictures\.example (gives more than there is room for|answered 404)/,
      true,
    ],
    [
      'too many',
      many,
      `the request names ${MOST_URLS + 1} URLs, and at most ${MOST_URLS} are fetched for this account`,
    ],
  ]
  answers['/half.png?2'] = answers['/half.png']!
  for (const [what, urls, why, asks = false] of rows)
    for (const lane of ['gemini', 'antigravity'] as const) {
      asked.length = 0
      const told = await send(lane, image(...urls))
      t.match(told, { status: 400, error: { code: 'UNTRANSLATABLE', param: 'messages.image' } }, what)
      const said = told.error.message.replace(/^messages\.image: (.*)\.$/, '$1')
      if (typeof why === 'string') t.equal(said, why, what)
      else t.match(said, why, what)
      t.equal(asked.length > 0, asks, `${what}: ${asks ? 'it was asked' : 'nobody was asked'}`)
      t.notMatch(told.text, /only the inside|10\.0\.0\.1|10\.1\.2\.3|169\.254|192\.168|hunter2|location/, what)
    }
  const documents: [string, string | RegExp][] = [
    ['/a.png', 'pictures.example gives image/png for its URL, which is no document'],
    ['/latin.txt', 'what pictures.example gave for its URL is no PDF or text of a kind that is known'],
    ['/page.html', /^what its URL gives is text\/html, and this model takes application\/pdf, text\/plain, /],
  ]
  for (const [path, why] of documents) {
    const { status, error } = await send('gemini', claude('document', at(path)), '/v1/messages')
    t.equal(status, 400)
    t.match(error.message.replace(/^messages\.document: (.*)\.$/, '$1'), why, path)
  }
  fetching.withinMs = 200
  const late = await send('gemini', image(at('/stuck.png')))
  t.match(late, {
    status: 400,
    error: {
      message: 'messages.image: pictures.example did not give it within 0.2 s, the time for all URLs of a request.',
    },
  })
  t.equal(before(), 0, 'no provider was asked for any of them')
  await until(t, 'no connection is left open', () => open.size === 0)
  t.strictSame(
    [...gw.daemon.gateway.snapshot.accounts.values()].flatMap(({ id }) => gw.daemon.gateway.health.ailments(id)),
    [],
    'and no account is the worse for it',
  )
})

t.test(
  'over the accounts that are tried it is fetched once, and one that fetches itself is asked in its stead',
  async t => {
    const { gw, send, at, asked } = await setUp(t, { scripts: [{ status: 500 }, { status: 500 }, {}] }, ['gemini'])
    for (const nth of [0, 1]) await gw.set.account(`gemini-${nth}`, { priority: nth + 1 })
    const told = await send('gemini', image(at('/a.png')))
    t.equal(told.status, 200, told.text)
    const tried = gw.mock.stats().bodies.map(({ credential }) => credential)
    t.strictSame(
      tried,
      [0, 1, 2].map(nth => laneCredential('gemini', nth)),
    )
    for (const credential of tried) t.strictSame(partsOf(gw, credential), [inline('image/png', png)], credential)
    t.strictSame(asked, ['/a.png'])

    await addAccount(gw.database.db, gw.secret, {
      name: 'anti',
      platform: 'antigravity',
      type: 'oauth',
      credential: JSON.stringify({ access_token: 'cred-anti', project_id: 'project' }),
      base_url: gw.mock.url,
      concurrency: 0,
      priority: 1,
      mixed: true,
      groups: ['main'],
    })
    await gw.inForce()
    const body = { ...claude('image', at('/gone')), model: 'claude-sonnet-4-5' }
    const reply = await gw.send(body)
    t.equal(reply.status, 200, await reply.text())
    t.equal(gw.mock.stats('cred-anti').requests, 0)
    const { messages } = JSON.parse(gw.mock.stats().bodies.at(-1)!.body!)
    t.strictSame(messages, body.messages, 'Claude is told the URL')
  },
)

t.test('a client that leaves ends the fetch', async t => {
  const { gw, keys, at, asked, open, fetching } = await setUp(t, {}, ['gemini'])
  // Nothing else ends it.
  fetching.withinMs = 600_000
  const leaving = new AbortController()
  const reply = gw.send(image(at('/stuck.png')), {
    path: '/v1/chat/completions',
    key: keys.gemini,
    signal: leaving.signal,
  })
  await until(t, 'it is being fetched', () => asked.length === 1)
  leaving.abort()
  await t.rejects(reply, { name: 'AbortError' })
  await until(t, 'the connection is closed', () => open.size === 0)
  await until(t, 'the request is over', () => gw.daemon.gateway.live.size === 0)
  t.equal(gw.mock.stats().requests, 0, 'and no provider is asked for nobody')
})

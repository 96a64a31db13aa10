// The edge: whose request it is by key and by address, and that a key goes nowhere but to us.
import pino from 'pino'
import t, { type Test } from 'tap'
import { createKey } from '../../src/core/record/key.ts'
import { Brake } from '../../src/gateway/enter/brake.ts'
import { scrub } from '../../src/lib/credentials.ts'
import { gateway, hello, type Setup, type TestGateway, until } from '../helpers/gateway.ts'
import { refused, refusedOnWire } from '../helpers/refused.ts'
import { connect } from '../helpers/wire.ts'

const body = JSON.stringify(hello())
const length = `content-length: ${body.length}\r\n`

/** A gateway whose log is at hand. */
async function logged(t: Test, setup: Setup = {}) {
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) })
  return { gw: await gateway(t, { ...setup, log }), lines }
}

const key = async (gw: TestGateway, name: string, more: object = {}) =>
  (await createKey(gw.database.db, gw.secret, { user: 'alice', group: 'main', name, valuePrefix: 'sk-', ...more })).key

/** Sends a request of these header lines, and gives the whole answer. */
async function raw(t: Test, gw: TestGateway, headers: string, path = '/v1/messages'): Promise<string> {
  const wire = await connect(t, gw.url)
  await wire.write(`POST ${path} HTTP/1.1\r\nhost: gw\r\nconnection: close\r\n${headers}${length}\r\n${body}`)
  await wire.end()
  return wire.text
}

t.test('a key of ours counts wherever it stands, and a foreign credential beside it goes nowhere', async t => {
  const { gw, lines } = await logged(t)
  const foreign = 'sk-ant-api03-left-over-in-the-environment'
  const ways: Record<string, [headers: string, path?: string]> = {
    'foreign bearer, ours in x-api-key': [`authorization: Bearer ${foreign}\r\nx-api-key: ${gw.key}\r\n`],
    'ours as bearer, foreign in x-api-key': [`authorization: Bearer ${gw.key}\r\nx-api-key: ${foreign}\r\n`],
    'foreign first, in the same header twice': [
      `authorization: Bearer ${foreign}\r\nAuthorization: Bearer ${gw.key}\r\n`,
    ],
    'ours first, in the same header twice': [`x-api-key: ${gw.key}\r\nX-Api-Key: ${foreign}\r\n`],
    'joined by a proxy': [`authorization: Bearer ${foreign}, Bearer ${gw.key}\r\n`],
    'another scheme beside it': [`authorization: Basic Zm9vOmJhcg==\r\nx-api-key: ${gw.key}\r\n`],
    'foreign in the query': [`x-api-key: ${gw.key}\r\n`, `/v1/messages?key=${foreign}&api_key=${foreign}`],
    'ours in the query': [`x-goog-api-key: ${foreign}\r\n`, `/v1/messages?key=${foreign}&key=${gw.key}`],
    'ours everywhere': [
      `authorization: Bearer ${gw.key}\r\nx-api-key: ${gw.key}\r\nx-goog-api-key: ${gw.key}\r\n`,
      `/v1/messages?key=${gw.key}`,
    ],
  }
  for (const [name, [headers, path]] of Object.entries(ways)) {
    t.match(await raw(t, gw, headers, path), /^HTTP\/1.1 200 /, name)
    const seen = gw.mock.stats().bodies.at(-1)!
    const told = JSON.stringify({ headers: seen.headers, query: seen.query })
    t.notMatch(told, foreign, `${name}: the provider does not see the foreign one`)
    t.notMatch(told, gw.key, `${name}: nor ours`)
    t.notMatch(told, 'Zm9vOmJhcg', `${name}: nor another scheme's`)
  }
  t.notMatch(lines.join(''), foreign)
  t.notMatch(lines.join(''), gw.key)
})

t.test('two different keys of ours in one request are refused, whether or not both are good', async t => {
  const gw = await gateway(t)
  const other = await key(gw, 'other')
  await gw.inForce()
  const two = [
    `authorization: Bearer ${gw.key}\r\nx-api-key: ${other}\r\n`,
    `x-api-key: ${gw.key}\r\nx-api-key: ${other}\r\n`,
    `authorization: Bearer ${other}\r\nauthorization: Bearer ${gw.key}\r\n`,
    `x-goog-api-key: sk-foreign\r\nx-api-key: ${other}\r\nauthorization: Bearer ${gw.key}\r\n`,
  ]
  const differ = async (headers: string, path?: string) =>
    refusedOnWire(t, await raw(t, gw, headers, path), [
      400,
      'invalid_request_error',
      'KEYS_DIFFER',
      'This request brings more than one API key of this gateway (looked for in Authorization, x-api-key, x-goog-api-key, ?key= and ?api_key=); send one.',
    ])
  for (const headers of two) await differ(headers)
  await differ(`x-api-key: ${gw.key}\r\n`, `/v1/messages?api_key=${other}`)
  await gw.set.revoke('other')
  for (const headers of two) await differ(headers)
  await differ(`x-api-key: ${Array.from({ length: 9 }, (_, i) => `sk-${i}`).join(', ')}\r\n`)
  t.equal(gw.mock.stats().requests, 0)
  t.match(await raw(t, gw, `x-api-key: ${gw.key}\r\n`), /^HTTP\/1.1 200 /)
})

t.test(
  'an address that keeps coming with unknown keys is refused without a look at them, good keys that are known go on',
  async t => {
    const gw = await gateway(t, { config: { trusted_proxies: ['127.0.0.1'] } })
    const digests: string[] = []
    const { digest } = gw.daemon.gateway.secret
    gw.daemon.gateway.secret.digest = value => {
      digests.push(value)
      return digest(value)
    }
    const unused = await key(gw, 'unused')
    await gw.inForce()
    digests.length = 0
    const ask = (presented: string, ip: string) =>
      gw.send(hello(), { key: presented, headers: { 'x-forwarded-for': ip } })
    const statuses = async (presented: string, ...ips: string[]) => {
      const all: number[] = []
      for (const ip of ips) all.push((await ask(presented, ip)).status)
      return all
    }
    const of = <T>(n: number, value: T) => new Array<T>(n).fill(value)

    t.equal((await ask(gw.key, '192.0.2.7')).status, 200)
    t.strictSame(await statuses('sk-bad', ...of(20, '192.0.2.7')), of(20, 401))
    t.equal(digests.length, 21, 'twenty were looked at, and the good one')
    const reply = await ask('sk-bad', '192.0.2.7')
    const wait = Number(reply.headers.get('retry-after'))
    t.ok(wait > 0 && wait <= 60, `come back when the minute is over: ${wait} s`)
    await refused(t, reply, [
      429,
      'rate_limit_error',
      'TOO_MANY_BAD_KEYS',
      'Requests with unknown API keys keep coming from this address (20 within a minute); check the key, and retry later.',
    ])
    t.strictSame(await statuses('sk-bad', ...of(5, '192.0.2.7')), of(5, 429))
    t.equal((await ask(unused, '192.0.2.7')).status, 429, 'to tell a good key from a bad one is the work')
    t.equal(digests.length, 21, 'nothing was looked at')
    t.equal((await ask(gw.key, '192.0.2.7')).status, 200, 'a key that was good before costs none')
    t.strictSame(await statuses('sk-bad', '192.0.2.8', '198.51.100.1'), [401, 401], 'other addresses are not concerned')
    t.equal((await ask(unused, '192.0.2.8')).status, 200)
    t.equal((await ask(unused, '192.0.2.7')).status, 200, 'and by now it is known')

    const home = (i: number) => `2001:db8:0:7:${i}::1`
    t.strictSame(await statuses('sk-bad', ...of(20, 0).map((_, i) => home(i))), of(20, 401))
    t.equal((await ask('sk-bad', '2001:db8:0:7:ffff:ffff:ffff:ffff')).status, 429, 'a /64 is one')
    t.equal((await ask('sk-bad', '2001:db8:0:8::1')).status, 401, 'the next /64 is another')

    const scrape = await (await fetch(`${gw.daemon.opsUrl}/metrics`)).text()
    t.match(scrape, 'gw_requests_total{platform="none",status="429",code="TOO_MANY_BAD_KEYS"} 8\n', 'they are counted')
  },
)

t.test('the brake forgets after a minute, can be off, and holds no more than so many addresses', async t => {
  let now = 1_000_000
  const brake = new Brake(() => now)
  for (let i = 0; i < 3; i++) brake.bad('192.0.2.1')
  t.equal(brake.restMs('192.0.2.1', 3), 60_000)
  t.equal(brake.restMs('192.0.2.1', 4), 0)
  t.equal(brake.restMs('192.0.2.1', 0), 0, '0 is off')
  now += 59_999
  t.equal(brake.restMs('192.0.2.1', 3), 1)
  brake.bad('192.0.2.1')
  now += 1
  t.equal(brake.restMs('192.0.2.1', 3), 0, 'one minute, however often it came meanwhile')
  brake.bad('192.0.2.1')
  t.equal(brake.restMs('192.0.2.1', 1), 60_000)
  brake.bad('')
  t.equal(brake.restMs('', 1), 0, 'nobody is braked for whom no address stands')
  for (let i = 0; i < 10_000; i++) brake.bad(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)
  t.equal(brake.restMs('192.0.2.1', 1), 0, 'the oldest made room')
  t.equal(brake.restMs('10.0.39.15', 1), 60_000)
})

t.test(
  'the client of a trusted proxy is who stands in X-Forwarded-For, for the log, the allow list and nobody else',
  async t => {
    const { gw, lines } = await logged(t, {
      config: { trusted_proxies: ['127.0.0.0/8', '10.0.0.0/8', '2001:db8:1::/48'] },
    })
    const home = await key(gw, 'home', { allow_ip: ['192.0.2.7', '2001:db8:7::/64'] })
    await gw.inForce()
    const cases: [forwarded: string[], client: string, status: number][] = [
      [['192.0.2.7'], '192.0.2.7', 200],
      [['192.0.2.7, 10.0.0.1'], '192.0.2.7', 200],
      [['192.0.2.7', '10.0.0.1,10.9.9.9'], '192.0.2.7', 200],
      [['203.0.113.5, 192.0.2.7'], '192.0.2.7', 200],
      [['192.0.2.7, 203.0.113.5'], '203.0.113.5', 403],
      [['192.0.2.7', '203.0.113.5'], '203.0.113.5', 403],
      [['192.0.2.7:4711, 10.0.0.1:80'], '192.0.2.7', 200],
      [['[2001:db8:7::1]:4711, [2001:db8:1::2]'], '2001:db8:7::1', 200],
      [['2001:db8:7::1 , "[2001:db8:1::2]:1"'], '2001:db8:7::1', 200],
      [['::ffff:192.0.2.7'], '192.0.2.7', 200],
      [[',192.0.2.7,,10.0.0.1,'], '192.0.2.7', 200],
      [['192.0.2.7, unknown, 10.0.0.1'], '10.0.0.1', 403],
      [['192.0.2.7, fe80::1%eth0'], '127.0.0.1', 403],
      [['192.0.2.7, 192.0.2.7.'], '127.0.0.1', 403],
      [['192.0.2.7, <script>'], '127.0.0.1', 403],
      [[`192.0.2.7${', 10.0.0.1'.repeat(40)}`], '10.0.0.1', 403],
      [[''], '127.0.0.1', 403],
      [[], '127.0.0.1', 403],
    ]
    for (const [forwarded, client, status] of cases) {
      lines.length = 0
      const headers = forwarded.map(line => `X-Forwarded-For: ${line}\r\n`).join('')
      const answer = await raw(t, gw, `x-api-key: ${home}\r\n${headers}`)
      t.equal(answer.split(' ')[1], String(status), forwarded.join(' | '))
      await until(t, 'the request is logged', () => lines.some(line => line.includes('"request_id"')))
      const line = lines.find(line => line.includes('"request_id"'))!
      t.equal((JSON.parse(line) as { ip: string }).ip, client, forwarded.join(' | '))
    }
  },
)

t.test('nobody else is believed about where a request is from', async t => {
  for (const trusted_proxies of [[], ['10.0.0.0/8']]) {
    const gw = await gateway(t, { config: { trusted_proxies } })
    const home = await key(gw, 'home', { allow_ip: ['192.0.2.7'] })
    await gw.inForce()
    t.match(await raw(t, gw, `x-api-key: ${home}\r\nx-forwarded-for: 192.0.2.7\r\n`), /^HTTP\/1.1 403 /)
  }
})

t.test(
  'a key that got into a path, a model or a parameter is not logged, not answered, not stored and not sent on',
  async t => {
    const { gw, lines } = await logged(t, { accounts: [{ models: { '*': 'vendor/*' } }] })
    const escaped = gw.key.replaceAll(/./g, c => `%${c.charCodeAt(0).toString(16)}`)
    const custom = await createKey(gw.database.db, gw.secret, {
      user: 'alice',
      group: 'main',
      valuePrefix: 'team_Blue-',
    })
    const vendor = 'sk-ant-api03-AbCdEf_0123456789'
    const google = 'AIzaSyA0123456789abcdefghijklmnopqrstuv'
    const secrets = [gw.key, custom.key, vendor, google, 'hunter2']
    const said: string[] = []
    const ask = async (path: string, sent: object, method = 'POST') => {
      const reply = await gw.send(sent, { path, method })
      said.push(await reply.text())
      return reply.status
    }
    for (const secret of [gw.key, escaped, custom.key, vendor, google]) {
      t.equal(await ask(`/v1/${secret}/messages`, hello()), 404)
      t.equal(await ask(`/${secret}`, hello(), 'GET'), 404)
      t.equal(await ask(`/v1/messages&key=${secret}`, hello()), 404)
      t.equal(await ask(`/v1/models/${secret}`, {}, 'GET'), 404)
      t.equal(await ask(`/v1/models/vendor/${secret}`, {}, 'GET'), 404)
    }
    const all = gw.mock.stats().requests
    for (const secret of [gw.key, custom.key, vendor, google])
      for (const model of [secret, `claude/${secret}`, `${secret}[1m]`, 'claude***'])
        for (const path of ['/v1/messages', '/v1/messages/count_tokens'])
          t.equal(await ask(path, hello({ model })), 400)
    t.match(said.at(-1), '"code":"MODEL_IS_KEY"')
    t.equal(gw.mock.stats().requests, all, 'no provider heard of any of them')
    const kept = 'beta=true&alt=sse&x=%C3%A9'
    const parameters = [
      `Key=${gw.key}`,
      `apikey=${gw.key}`,
      'ApiKey=hunter2',
      'x-api-key=hunter2',
      'X-Goog-Api-Key=hunter2',
      'token=hunter2',
      'access_token=hunter2',
      'client_secret=hunter2',
      'Authorization=Bearer%20hunter2',
      '%2574oken=hunter2',
      `user=${gw.key}`,
      `user=${escaped}`,
      `user=${custom.key}`,
      `q=see%20${vendor}`,
      `${gw.key}`,
      `${vendor}=1`,
      `a;key=${google}`,
    ]
    for (const parameter of parameters) {
      t.equal(await ask(`/v1/messages?beta=true&${parameter}&alt=sse&x=%C3%A9`, hello()), 200, parameter)
      const { query, headers } = gw.mock.stats().bodies.at(-1)!
      t.equal(query, kept, parameter)
      t.notMatch(JSON.stringify(headers), 'hunter2')
    }
    t.equal(await ask(`/v1/messages?${parameters.join('&')}`, hello()), 200)
    t.equal(gw.mock.stats().bodies.at(-1)!.query, '')

    const rows = await gw.usage(parameters.length + 1)
    await until(
      t,
      'every request is logged',
      () => lines.filter(line => line.includes('"request_id"')).length >= said.length,
    )
    const scrape = await (await fetch(`${gw.daemon.opsUrl}/metrics`)).text()
    const everything = [lines.join(''), said.join(''), JSON.stringify(await gw.live()), scrape]
    everything.push(rows.map(row => [row.model, row.upstream_model].join()).join())
    for (const secret of [...secrets, escaped])
      for (const text of everything)
        t.notOk(text.toLowerCase().includes(secret.toLowerCase()), `${secret.slice(0, 8)}…`)
    t.match(lines.join(''), '"path":"/v1/sk-***/messages"', 'what is left tells what it was')
  },
)

t.test('what looks like a credential is taken out of text, and nothing else', async t => {
  const hex = '0123456789abcdef'.repeat(4)
  for (const [text, masked] of [
    [`sk-${hex}`, 'sk-***'],
    ['sk-ant-api03-AbCdEf_0123456789', 'sk-ant-api03-***'],
    [`team_${hex} and x`, '*** and x'],
    ['AIzaSyA0123456789abcdefghijklmnopqrstuv', 'AIza***'],
    ['a eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl', 'a eyJ***'],
    ['/v1beta?Key=abc&x=1', '/v1beta?Key=***&x=1'],
    ['x-api-key=abc', 'x-api-key=***'],
  ] as const)
    t.equal(scrub(text), masked)
  for (const text of [
    'claude-sonnet-4-5-20250929[1m]',
    'task-force-of-many-words-in-a-row',
    `model@sha256:${hex}`,
    'us.anthropic.claude-opus-4-1-20250805-v1:0',
    'ft:gpt-4o-mini-2024-07-18:organisation::abcdefgh',
    '/v1/messages/count_tokens',
    'a-very-long-name-without-any-hexadecimal-digits-in-a-row-at-all-which-is-no-key-of-ours',
  ])
    t.equal(scrub(text), text)
  const long = `${`${'a'.repeat(63)}z`.repeat(500)} ${'-eyJ'.repeat(8_000)} ${'sk-a.'.repeat(6_000)}`
  t.equal(scrub(long).length, long.length, 'a long one takes no time')
})

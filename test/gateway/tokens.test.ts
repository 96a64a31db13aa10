// OAuth accounts: a token that is over is made new by exactly one of all who find that out, and nothing else of the account changes.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import pino from 'pino'
import t, { type Test } from 'tap'
import { readOauth } from '../../src/core/oauth/credential.ts'
import { createRefresh } from '../../src/core/oauth/refresh.ts'
import { findAccount } from '../../src/core/record/account.ts'
import { addProxy } from '../../src/core/record/proxy.ts'
import { dueTokens, readToken, takeTokenLease } from '../../src/core/record/token.ts'
import { startDaemon } from '../../src/daemon/main.ts'
import type { Step } from '../../src/mock/step.ts'
import { egress } from '../helpers/egress.ts'
import { gateway, hello, type Setup, type TestGateway, until } from '../helpers/gateway.ts'
import { redisMissing, redisServer } from '../helpers/redis.ts'

const overAt401 = { status: 401, error: { type: 'authentication_error', message: 'invalid bearer token' } }
const inSeconds = (s: number) => Math.floor(Date.now() / 1000) + s

/** A gateway with one OAuth account `a1`; its upstream knows it by `family` once its token was refreshed. */
async function oauth(
  t: Test,
  fields: (mock: string) => object,
  setup: Setup = {},
  endpoint: Step | Step[] = {},
): Promise<TestGateway> {
  const gw = await gateway(t, { accounts: [{ name: 'a1', oauth: true }], ...setup })
  gw.mock.script('old', overAt401)
  gw.mock.script('token', endpoint)
  await gw.set.account('a1', {
    credential: JSON.stringify({
      access_token: 'old',
      refresh_token: 'family',
      client_id: 'operators-client',
      client_secret: 'operators-secret',
      token_url: `${gw.mock.url}/token`,
      project_id: 'kept',
      ...fields(gw.mock.url),
    }),
  })
  return gw
}
const asked = (gw: TestGateway) => gw.mock.stats('token').requests
const account = (gw: TestGateway, name = 'a1') => findAccount(gw.database.db, name)
const stored = async (gw: TestGateway) =>
  (await readToken(gw.database.db, gw.secret, (await account(gw)).id))!.credential

const skip = await redisMissing()
t.test('50 requests on two nodes find the token over: one refresh, and all 50 are served', { skip }, async t => {
  const redis = await redisServer(t)
  const gw = await oauth(t, () => ({}), { config: { 'redis.url': redis.url } })
  const folder = mkdtempSync(path.join(tmpdir(), 'gwt-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const other = { ...gw.config, data_dir: folder, 'control.socket': path.join(folder, 'gw.sock') }
  const log = pino({ level: 'silent' })
  const two = await startDaemon(other, { log, access: log })
  t.teardown(() => two.stop(0))
  gw.mock.script('token', { delayMs: 100 })

  const replies = await Promise.all(
    Array.from({ length: 50 }, (_, n) =>
      fetch(`${n % 2 ? gw.url : two.url}/v1/messages`, {
        method: 'POST',
        headers: { 'x-api-key': gw.key, 'content-type': 'application/json' },
        body: JSON.stringify(hello()),
        signal: AbortSignal.timeout(20_000),
      }),
    ),
  )
  for (const reply of replies) await reply.text()
  t.strictSame([...new Set(replies.map(reply => reply.status))], [200])
  t.equal(asked(gw), 1, 'one refresh')
  t.equal(gw.mock.stats('family').requests, 50)
  t.match((await stored(gw)).fields, {
    access_token: 'mock-access.family.1',
    refresh_token: 'mock-refresh.family.1',
    client_id: 'operators-client',
    project_id: 'kept',
  })
  t.match(await account(gw), {
    status: 'active',
    token_problem: null,
    token_expires_at: Date,
    token_refreshed_at: Date,
  })
  const metrics = await Promise.all([gw.daemon, two].map(node => fetch(`${node.opsUrl}/metrics`).then(r => r.text())))
  const refreshed = metrics.flatMap(
    text => /gw_oauth_refreshes_total\{result="refreshed"\} (\d+)/.exec(text)?.[1] ?? [],
  )
  t.strictSame(refreshed, ['1'])
})

t.test(
  'a token is refreshed ahead of its end, again and again, and what an operator writes meanwhile stays',
  async t => {
    const gw = await oauth(
      t,
      () => ({ expires_at: String(inSeconds(60)) }),
      { config: { 'oauth.check_interval': 10 } },
      [{ hold: 'start' }, { token: { expiresIn: 1 } }, { token: { expiresIn: 3600 } }],
    )
    await until(t, 'it is being refreshed', () => asked(gw) === 1)
    await gw.set.account('a1', { priority: 7, status: 'paused', reason: 'lunch' })
    gw.mock.release('token')
    await until(t, 'it is refreshed', async () => (await stored(gw)).access === 'mock-access.family.1')
    t.match(await account(gw), { priority: 7, status: 'paused', reason: 'lunch', token_problem: null })
    await gw.set.account('a1', {
      status: 'active',
      reason: null,
      credential: JSON.stringify({ ...(await stored(gw)).fields, expires_at: inSeconds(1) }),
    })
    await until(
      t,
      'it is refreshed with the token that came with the last one, and that again',
      async () => (await stored(gw)).access === 'mock-access.family.3',
    )
    t.equal((await gw.send(hello())).status, 200)
  },
)

t.test('who leaves while the token is made new gives its place back at once', async t => {
  const gw = await oauth(t, () => ({}), {}, { hold: 'start' })
  await gw.set.account('a1', { concurrency: 1 })
  const leaving = new AbortController()
  const reply = gw.send(hello(), { signal: leaving.signal }).catch((error: Error) => error.name)
  await until(t, 'it is being refreshed', () => asked(gw) === 1)
  const used = async () => (await gw.live()).accounts.find(({ name }) => name === 'a1')!.slots.used
  t.equal(await used(), 1)
  leaving.abort()
  t.equal(await reply, 'AbortError')
  await until(t, 'the place is free', async () => (await used()) === 0)
  gw.mock.release('token')
  await until(t, 'what was shown is not lost', async () => (await stored(gw)).access === 'mock-access.family.1')
})

t.test(
  'a token that is over and proofs of somebody else in one request: neither is held against the account',
  async t => {
    const gw = await oauth(t, () => ({}))
    gw.mock.script('family', { proofs: 'own' })
    const thought = { type: 'thinking', thinking: 'elsewhere', signature: 'RXFRQg==' }
    const messages = [
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: [thought, { type: 'text', text: 'ho' }] },
      { role: 'user', content: 'go on' },
    ]
    t.equal((await gw.send({ ...hello(), messages })).status, 200)
    t.strictSame([gw.mock.stats('old').requests, gw.mock.stats('family').requests], [1, 2])
    t.strictSame(gw.daemon.gateway.health.ailments((await account(gw)).id), [])
  },
)

t.test('through the proxy of the account, and the old refresh token stays where none is given', async t => {
  const gw = await oauth(t, () => ({ scopes: ['a', 'b'] }))
  const way = await egress(t, { login: 'u:p' })
  await addProxy(gw.database.db, gw.secret, { name: 'way', url: way.url })
  await gw.set.account('a1', { proxy: 'way' })
  gw.mock.script('token', { token: { rotates: false } })
  t.equal((await gw.send(hello())).status, 200)
  t.ok(way.asked.length >= 2, 'the endpoint and the upstream')
  t.equal((await stored(gw)).refresh, 'family')
})

t.test('a refresh token that is refused: the account is expired and says why, until it has another', async t => {
  const gw = await oauth(t, () => ({}))
  gw.mock.script('token', {
    status: 400,
    error: { type: 'invalid_grant', message: 'token family was revoked, operators-secret' },
  })
  const refused = await gw.send(hello())
  t.equal(refused.status, 502)
  t.notMatch(await refused.text(), /grant|revoked|token/i)
  await gw.inForce()
  const { id, reason, status } = await account(gw)
  t.strictSame([status, reason], ['expired', 'token refresh: invalid_grant: token *** was revoked, ***'])
  t.match((await gw.live()).accounts[0], { state: 'expired', reason })
  const calls = asked(gw)
  const again = await gw.send(hello())
  t.equal(again.status, 503)
  await again.text()
  t.equal(asked(gw), calls, 'nobody asks again before its time')
  const { db } = gw.database
  t.match(await db.selectFrom('account_tokens').selectAll().where('account_id', '=', id).executeTakeFirst(), {
    failures: 1,
    retry_at: Date,
  })

  // A pause and a lease of a clock that has been set back an hour hold nobody up; those of this hour do.
  const pausing = async (ms: number) => {
    const at = new Date(Date.now() + ms)
    await db.updateTable('account_tokens').set({ retry_at: at, lease_until: at }).where('account_id', '=', id).execute()
    return (await dueTokens(db, 0)).every(due => due.id !== id)
  }
  t.ok(await pausing(60_000))
  t.equal(await takeTokenLease(db, id, 'another', 120_000), false)
  gw.mock.script('token', {})
  t.notOk(await pausing(2 * 3_600_000))
  await db
    .updateTable('account_tokens')
    .set({ retry_at: new Date(0) })
    .where('account_id', '=', id)
    .execute()
  await until(t, 'it is tried again in its time, and serves again', async () => (await account(gw)).status === 'active')
  await gw.inForce()
  t.equal((await gw.send(hello())).status, 200)
})

t.test('an endpoint that is not well leaves the account in service until its token ends', async t => {
  const gw = await oauth(
    t,
    () => ({ access_token: 'good', expires_at: inSeconds(60) }),
    {
      config: { 'oauth.check_interval': 10 },
    },
    { status: 503 },
  )
  await until(t, 'it failed', async () => (await account(gw)).token_problem !== null)
  t.match(await account(gw), { status: 'active', token_problem: /^token refresh: .*server_error/ })
  t.equal((await gw.send(hello())).status, 200, 'its token is good yet')
  await gw.set.account('a1', {
    credential: JSON.stringify({ ...(await stored(gw)).fields, expires_at: inSeconds(-5) }),
  })
  await until(t, 'it is expired', async () => (await account(gw)).status === 'expired')
})

t.test('an account that has only a refresh token is served as soon as it is there', async t => {
  const gw = await oauth(t, () => ({ access_token: undefined }), { config: { 'oauth.check_interval': 10 } })
  await until(t, 'it has a token', async () => (await stored(gw)).access === 'mock-access.family.1')
  await gw.inForce()
  t.equal((await gw.send(hello())).status, 200)
})

t.test('who loses a race against somebody who knows no lease adopts what that one stored', async t => {
  const gw = await oauth(t, () => ({}), { config: { 'oauth.check_interval': 3_600_000 } })
  const { db } = gw.database
  const { id } = await account(gw)
  const refresh = createRefresh({ db, secret: gw.secret, now: Date.now, log() {} })
  const newer = { ...(await stored(gw)).fields, access_token: 'theirs', refresh_token: 'theirs-too' }
  gw.mock.script('token', [
    { hold: 'start', status: 400, error: { type: 'invalid_grant', message: 'used' } },
    { hold: 'start' },
  ])
  for (const [n, name] of ['their token came first', 'ours came, and theirs was stored before'].entries()) {
    const done = refresh(id, { force: true })
    await until(t, 'the endpoint is asked', () => asked(gw) === n + 1)
    await gw.set.account('a1', {
      credential: JSON.stringify({ ...newer, access_token: `theirs-${n}`, refresh_token: `family-${n}` }),
    })
    gw.mock.release('token')
    t.match(await done, { result: 'refreshed' }, name)
    t.match(await stored(gw), { access: `theirs-${n}`, refresh: `family-${n}` })
  }
  t.match(await account(gw), { status: 'active' })
})

t.test('a stored credential is read whatever its spelling, and what it lacks is said without quoting it', t => {
  const base = { access_token: 'tok', refresh_token: 'ref' }
  const at = Date.UTC(2027, 0, 2, 3, 4, 5)
  for (const [expires_at, ms] of [
    [at / 1000, at],
    [String(at / 1000), at],
    ['2027-01-02T03:04:05Z', at],
    ['2027-01-02T05:04:05.000+02:00', at],
    [at, at],
    [null, 0],
    [undefined, 0],
  ] as const)
    t.match(readOauth(JSON.stringify({ ...base, expires_at })), { expiresAt: ms })
  t.match(readOauth(JSON.stringify({ ...base, scopes: ['a', 'b'] })), { scopes: 'a b' })
  const wrong: [object | string, RegExp][] = [
    ['not json secret-1', /is not JSON/],
    ['[]', /JSON object/],
    [{ client_id: 'x' }, /access_token or refresh_token/],
    [{ access_token: 7 }, /access_token as text/],
    [{ access_token: 'secret-1 \n x' }, /printable/],
    [{ ...base, expires_at: 'secret-1' }, /expires_at/],
    [{ ...base, token_url: 'http://secret-1.example/token' }, /in the clear/],
    [{ ...base, token_url: 'secret-1' }, /is not a URL/],
    [{ ...base, scopes: { secret: 1 } }, /scopes/],
    [{ ...base, token_format: 'xml' }, /form or json/],
  ]
  for (const [value, says] of wrong) {
    const said = readOauth(typeof value === 'string' ? value : JSON.stringify(value))
    t.type(said, 'string')
    t.match(said, says)
    t.notMatch(said, /secret-1/)
  }
  t.end()
})

// OAuth accounts through the command line: credentials that are checked, tokens that are refreshed, and logins by page and by device.
import { createHash } from 'node:crypto'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { readToken } from '../../src/core/record/token.ts'
import { openSecret } from '../../src/lib/secret.ts'
import { startMock } from '../../src/mock/server.ts'
import { freshDatabase } from '../helpers/database.ts'
import { home } from './gw.ts'

const here = await home(t, { GW_DATABASE_URL: await freshDatabase(t) })
const { gw, json } = here
const { db } = await here.open()
const mock = await startMock({})
t.teardown(() => mock.close())
const tokenUrl = `${mock.url}/token`

const stored = async (name: string) => {
  const { id } = await db.selectFrom('accounts').select('id').where('name', '=', name).executeTakeFirstOrThrow()
  return (await readToken(db, openSecret(`${here.dataDir}/secret.key`), id))!.credential.fields
}
const add = async (name: string, fields: object) => {
  const file = await here.file(`${name}.json`, JSON.stringify(fields))
  return gw(['account', 'add', name, '--platform', 'anthropic', '--base-url', mock.url, '--oauth-file', file, '--json'])
}

t.test('a credential is checked when it is given, and what will not be refreshed is told', async t => {
  const good = { access_token: 'tok-hidden', refresh_token: 'ref-hidden', client_id: 'mine', token_url: tokenUrl }
  const whole = await add('whole', { ...good, expires_at: 4_000_000_000 })
  t.equal(whole.code, 0)
  t.match(JSON.parse(whole.stdout), {
    type: 'oauth',
    token_expires_at: '2096-10-02T07:06:40.000Z',
    token_problem: null,
  })
  t.notMatch(whole.stderr, /refreshed/)
  const part = await add('part', { access_token: 'tok-hidden', refresh_token: 'ref-hidden' })
  t.match(part, { code: 0, stderr: /will not be refreshed, since the credential has no client_id, token_url/ })
  const table = (await gw('account list')).stdout
  t.match(table, /TOKEN/)
  t.match(table, /whole .*in \d+d/)
  for (const [fields, says] of [
    [{ ...good, expires_at: 'tok-hidden' }, /expires_at in Unix seconds/],
    [{ ...good, token_url: 'http://tok-hidden.example' }, /in the clear/],
    [{ ...good, access_token: 1 }, /access_token as text/],
  ] as const) {
    const refused = await add('no', fields)
    t.equal(refused.code, 2)
    t.match(refused.stderr, says)
    t.notMatch(refused.stderr, /hidden/)
  }
})

t.test('gw account refresh refreshes now, and says why it could not', async t => {
  t.match(await json('account refresh whole'), { token_refreshed_at: String, token_problem: null, status: 'active' })
  t.match(await stored('whole'), { access_token: 'mock-access.ref-hidden.1', client_id: 'mine' })
  mock.script('token', {
    status: 400,
    error: { type: 'invalid_grant', message: 'mock-refresh.ref-hidden.1 was revoked' },
  })
  const failed = await gw('account refresh whole')
  t.match(failed, { code: 1, stderr: /^gw: account "whole": token refresh: invalid_grant: \*\*\* was revoked\n$/ })
  t.match(await json('account show whole'), { state: 'expired', token_problem: /invalid_grant/ })
  t.match((await gw('account list')).stdout, /whole +expired/)
  mock.script('token', {})
  t.match(await json('account refresh whole'), { state: 'available', status: 'active' })
  t.match(await gw('account refresh part'), { code: 1, stderr: /has no client_id, token_url/ })
  t.match(await gw('account refresh nobody'), { code: 6 })
})

t.test('an account of every platform is added, shown and tested', async t => {
  const key = await here.file('key.txt', 'upstream-key\n')
  const token = {
    access_token: 'tok-hidden',
    client_id: 'mine',
    token_url: tokenUrl,
    project_id: 'project-7',
    tier_id: 'PRO',
  }
  const file = await here.file('token.json', JSON.stringify(token))
  for (const [name, ...words] of [
    ['t-anthropic', 'anthropic'],
    ['t-responses', 'openai', '--dialect', 'responses'],
    ['t-chat', 'openai'],
    ['t-gemini', 'gemini'],
    ['t-anthropic-oauth', 'anthropic', 'oauth'],
    ['t-openai-oauth', 'openai', 'oauth'],
    ['t-gemini-oauth', 'gemini', 'oauth'],
    ['t-antigravity', 'antigravity', 'oauth', '--mixed'],
  ]) {
    const [platform, ...more] = words
    const type = more[0] === 'oauth' ? 'oauth' : 'apikey'
    const credential = type === 'oauth' ? ['--oauth-file', file] : ['--api-key-file', key]
    const flags = more.filter(word => word !== 'oauth')
    const added = await json([
      'account',
      'add',
      name!,
      '--platform',
      platform!,
      '--base-url',
      mock.url,
      ...credential,
      ...flags,
    ])
    t.match(added, {
      platform,
      type,
      proxy: null,
      state: 'available',
      plan: type === 'oauth' ? 'tier_id PRO, project_id project-7' : null,
    })
    t.match(await json(['account', 'test', name!]), { ok: true, status: 200 }, name!)
    const shown = (await gw(['account', 'show', name!])).stdout
    t.match(shown, type === 'oauth' ? /plan +tier_id PRO, project_id project-7\ntoken expires/ : /type +apikey/)
    t.notMatch(shown, /hidden/)
  }
})

t.test('gw account models: what is served, who says so, and what of it has no price', async t => {
  const models = async (name: string, ...more: string[]) => {
    const { code, stdout, stderr } = await gw(['account', 'models', name, ...more])
    t.equal(code, 0, stderr)
    return { stdout, stderr }
  }
  const first = await models('t-antigravity')
  t.match(
    first.stdout,
    /^MODEL +UPSTREAM +PRICED +FROM +READ\nclaude-opus-4-6-thinking +claude-opus-4-6-thinking +yes +gw +-\n/,
  )
  t.match(first.stdout, /\nclaude-haiku-4\* +gemini-3-flash +- +gw +-\n/)
  t.match(first.stderr, /gw's own table: no list of its provider was read yet/)

  const listed = { models: { 'gemini-3-flash': {}, 'tab-secret-model': {} } }
  mock.script('tok-hidden', { body: JSON.stringify(listed) })
  const fresh = await models('t-antigravity', '--refresh', '--json')
  const flash = { upstream: 'gemini-3-flash', from: 'provider' }
  const rows = JSON.parse(fresh.stdout) as { model: string; read_at: string }[]
  t.match(rows[0]!.read_at, /^\d{4}-.*Z$/)
  t.strictSame(
    rows.map(({ read_at: _, ...fields }) => fields),
    [
      { model: 'gemini-3-flash', ...flash, priced: true },
      { model: 'tab-secret-model', ...flash, upstream: 'tab-secret-model', priced: false },
      { model: 'claude-3-haiku*', ...flash, priced: null },
      { model: 'claude-haiku-4*', ...flash, priced: null },
      { model: 'gemini-*', ...flash, upstream: 'gemini-*', priced: null },
    ],
  )
  t.match(fresh.stderr, /its provider's list, read (now|\d+s ago)\n/)
  t.match(fresh.stderr, /served but unpriced, .*: tab-secret-model \(gw price set MODEL\)/)
  t.strictSame((await models('t-antigravity', '-o', 'name')).stdout.split('\n').slice(0, 2), [
    'gemini-3-flash',
    'tab-secret-model',
  ])
  t.match(
    (await models('t-antigravity', '-o', 'csv', '--columns', 'model,from,priced')).stdout,
    /^model,from,priced\r\n/,
  )

  mock.script('tok-hidden', { status: 503, error: { message: 'tok-hidden is busy' } })
  t.match(await gw('account models t-antigravity --refresh'), {
    code: 1,
    stderr: 'gw: account "t-antigravity": its provider\'s list of models cannot be read: status 503: *** is busy\n',
    stdout: '',
  })
  const stays = await models('t-antigravity', '--json')
  t.strictSame(JSON.parse(stays.stdout), rows, 'the list stays')
  t.match(stays.stderr, /warning: its provider's list could not be read: status 503/)
  mock.script('tok-hidden', {})
  t.match(await json('account test t-antigravity'), { ok: true, model: 'gemini-3-flash' })

  t.equal((await gw('account set t-antigravity --map gemini-3-flash=other')).code, 0)
  const own = await models('t-antigravity')
  t.match(own.stdout, /\ngemini-3-flash +other +yes +account +-\n$/)
  t.match(own.stderr, /its own mapping/)
  t.match(await gw('account models t-antigravity --refresh'), { code: 2, stderr: /mapping of its own, .*--map none/ })
  t.equal((await gw('account set t-antigravity --map none')).code, 0)
  t.strictSame(JSON.parse((await models('t-antigravity', '--json')).stdout), rows)

  t.match(await models('t-gemini'), { stdout: '', stderr: /no mapping: it serves every model under its own name/ })
  t.match(await gw('account models t-gemini --refresh'), { code: 2, stderr: /no list is read of gemini/ })
  t.match(await gw('account models nobody'), { code: 6 })
})

t.test('gw account test renews a token that is over, and goes on', async t => {
  mock.script('old', { status: 401, error: { type: 'authentication_error', message: 'over' } })
  await add('old', { access_token: 'old', refresh_token: 'of-old', client_id: 'mine', token_url: tokenUrl })
  t.match(await json('account test old'), { ok: true, status: 200 })
  t.match(await stored('old'), { access_token: 'mock-access.of-old.1' })
})

/** Runs a login as a process of its own, and gives the address it shows as soon as it does. */
function login(words: readonly string[], stdin?: string) {
  const { promise, resolve } = Promise.withResolvers<URL>()
  const ran = here.spawned(['account', 'login', ...words, '--json'], {
    ...(stdin === undefined ? {} : { stdin }),
    started(child) {
      let text = ''
      child.stderr!.on('data', chunk => {
        text += chunk
        const url = /open (\S+)\n/.exec(text)?.[1]
        if (url) resolve(new URL(url))
      })
    },
  })
  return { ran, page: Promise.race([promise, ran.then(({ stderr }) => Promise.reject(new Error(stderr)))]) }
}
const endpoints = [
  '--authorize-url',
  'https://vendor.example/authorize?x=1',
  '--token-url',
  tokenUrl,
  '--client-id',
  'mine',
]

t.test('a login by page: PKCE, a state that only its own answer has, and a new account of what comes back', async t => {
  const secretFile = await here.file('secret.txt', 'client-secret-hidden\n')
  const { ran, page } = login([
    ...[
      'web',
      '--new',
      '--platform',
      'anthropic',
      '--base-url',
      mock.url,
      '--scopes',
      'a b',
      '--param',
      'prompt=consent',
    ],
    ...['--client-secret-file', secretFile, ...endpoints],
  ])
  const asked = (await page).searchParams
  t.match(Object.fromEntries(asked), {
    x: '1',
    response_type: 'code',
    client_id: 'mine',
    scope: 'a b',
    prompt: 'consent',
    code_challenge_method: 'S256',
    redirect_uri: /^http:\/\/127\.0\.0\.1:\d+\/callback$/,
  })
  const back = (query: string) => fetch(`${asked.get('redirect_uri')}?${query}`)
  t.equal((await back('code=stolen&state=other')).status, 404, 'whoever has not the state is nobody')
  const come = await back(`code=from-page&state=${asked.get('state')}`)
  t.match(await come.text(), /You can close this page/)
  const { code, stdout, stderr } = await ran
  t.equal(code, 0, stderr)
  t.match(JSON.parse(stdout), { name: 'web', type: 'oauth', status: 'active', token_expires_at: String })
  t.notMatch(stdout + stderr, /client-secret-hidden|mock-(access|refresh)/)
  const sent = new URLSearchParams(mock.stats('token').bodies.at(-1)!.body!)
  t.match(Object.fromEntries(sent), {
    grant_type: 'authorization_code',
    code: 'from-page',
    client_secret: 'client-secret-hidden',
  })
  t.equal(createHash('sha256').update(sent.get('code_verifier')!).digest('base64url'), asked.get('code_challenge'))
  t.match(await stored('web'), {
    access_token: 'mock-access.from-page.1',
    refresh_token: 'mock-refresh.from-page.1',
    authorize_url: 'https://vendor.example/authorize?x=1',
    token_url: tokenUrl,
    client_id: 'mine',
    scopes: 'a b',
  })
  t.match(await json('account refresh web'), { token_problem: null })

  const again = login(['web'])
  const { searchParams } = await again.page
  await fetch(`${searchParams.get('redirect_uri')}?code=second&state=${searchParams.get('state')}`)
  t.equal((await again.ran).code, 0, 'what is known needs not be said again')
  t.match(await stored('web'), { access_token: 'mock-access.second.1' })
})

t.test('a login by pasting, and logins that come to nothing', async t => {
  const pasted = await gw(['account', 'login', 'web', '--redirect-uri', 'https://vendor.example/shown', '--json'], {
    stdin: 'pasted-code\n',
  })
  t.equal(pasted.code, 0, pasted.stderr)
  t.match(pasted.stderr, /redirect_uri=https%3A%2F%2Fvendor\.example%2Fshown/)
  t.match(await stored('web'), { access_token: 'mock-access.pasted-code.1' })
  const cases: [words: string[], stdin: string, code: number, says: RegExp][] = [
    [['web', '--paste'], 'x', 2, /needs --redirect-uri/],
    [
      ['web', '--redirect-uri', 'https://v.example/s'],
      'https://v.example/s?code=c&state=forged',
      1,
      /state is not the one/,
    ],
    [
      ['web', '--redirect-uri', 'https://v.example/s'],
      'https://v.example/s?error=access_denied',
      1,
      /vendor said access_denied/,
    ],
    [['fresh'], '', 6, /no account "fresh"/],
    [['fresh', '--new', ...endpoints], '', 2, /--platform must be given/],
    [['web', '--new', '--platform', 'gemini', ...endpoints], '', 7, /exists already/],
    [['fresh', '--new', '--platform', 'gemini', '--client-id', 'x'], '', 2, /--token-url and --authorize-url/],
    [
      ['fresh', '--new', '--platform', 'gemini', ...endpoints, '--token-url', 'http://v.example'],
      '',
      2,
      /in the clear/,
    ],
  ]
  for (const [words, stdin, code, says] of cases) {
    const ran = await gw(['account', 'login', ...words], { stdin })
    t.equal(ran.code, code, `${words.join(' ')}: ${ran.stderr}`)
    t.match(ran.stderr, says)
  }
  t.match(await stored('web'), { access_token: 'mock-access.pasted-code.1' }, 'nothing changed')
})

t.test('a login by device: the code is shown, and the endpoint asked until somebody said yes', async t => {
  let looks = 0
  const vendor = http.createServer((req, res) => {
    const answer = (status: number, body: object) => res.writeHead(status).end(JSON.stringify(body))
    req.resume().on('end', () => {
      if (req.url === '/device')
        answer(200, {
          device_code: 'dev',
          user_code: 'ABCD-EFGH',
          verification_uri: 'https://v.example/d',
          interval: 0.01,
        })
      else if (++looks < 3) answer(400, { error: 'authorization_pending' })
      else answer(200, { access_token: 'of-device', refresh_token: 'r', expires_in: 3600 })
    })
  })
  vendor.listen(0, '127.0.0.1')
  t.teardown(() => vendor.close())
  await new Promise(resolve => vendor.once('listening', resolve))
  const url = `http://127.0.0.1:${(vendor.address() as AddressInfo).port}`
  const ran = await gw([
    ...['account', 'login', 'tv', '--new', '--platform', 'gemini', '--client-id', 'mine'],
    ...['--device-url', `${url}/device`, '--token-url', `${url}/token`, '--json'],
  ])
  t.equal(ran.code, 0, ran.stderr)
  t.match(ran.stderr, /https:\/\/v\.example\/d\nand enter the code ABCD-EFGH/)
  t.equal(looks, 3)
  t.match(await stored('tv'), { access_token: 'of-device', device_url: `${url}/device` })
})

// Egress proxies through the command line: kept without their logins in sight, tested for real, and not taken away from under accounts.
import t from 'tap'
import { openSecret } from '../../src/lib/secret.ts'
import { startMock } from '../../src/mock/server.ts'
import { freshDatabase } from '../helpers/database.ts'
import { egress } from '../helpers/egress.ts'
import { home } from './gw.ts'

const here = await home(t, { GW_DATABASE_URL: await freshDatabase(t) })
const { gw, json } = here
const { db } = await here.open()
const password = 'never-to-be-seen'
const stored = async (name: string) => {
  const { url } = await db.selectFrom('proxies').select('url').where('name', '=', name).executeTakeFirstOrThrow()
  return { sealed: url.toString('latin1'), url: openSecret(`${here.dataDir}/secret.key`).decrypt(url) }
}

t.test('a proxy is added, found, changed and taken away; its login is never shown', async t => {
  const runs = [
    await gw(['proxy', 'add', 'plain', 'http://10.0.0.1:3128', '--json']),
    await gw(['proxy', 'add', 'told', `socks5://us%40er:${password}@proxy.example`, '--json']),
    await gw(['proxy', 'add', 'read', '-', '--json'], { stdin: `https://user:${password}@[2001:db8::7]:8443\n` }),
    await gw(['proxy', 'add', 'apart', 'socks5h://proxy.example:9', '--login-stdin', '--json'], {
      stdin: `us@er:${password}:/x\n`,
    }),
    await gw('proxy list'),
    await gw('proxy list --json'),
    await gw('proxy list -o csv'),
    await gw('proxy list -o yaml'),
    await gw('proxy show told'),
  ]
  for (const { code, stdout, stderr } of runs) {
    t.equal(code, 0, stderr)
    t.notMatch(stdout + stderr, new RegExp(password))
  }
  t.match(JSON.parse(runs[0]!.stdout), { name: 'plain', url: 'http://10.0.0.1:3128', login: false })
  t.match(JSON.parse(runs[1]!.stdout), { name: 'told', url: 'socks5://proxy.example:1080', login: true })
  t.match(JSON.parse(runs[2]!.stdout), { url: 'https://[2001:db8::7]:8443', login: true })
  t.match(runs[1]!.stderr, /seen by ps/)
  t.equal((await stored('apart')).url, `socks5h://us%40er:${password}%3A%2Fx@proxy.example:9`)
  t.notMatch((await stored('apart')).sealed, /proxy\.example/, 'at rest it is encrypted')
  t.match(await json('proxy set plain --url https://10.0.0.2 --name better'), {
    name: 'better',
    url: 'https://10.0.0.2:443',
  })
  t.match(await json('proxy set better --login-stdin', { stdin: 'a:b' }), { url: 'https://10.0.0.2:443', login: true })
  t.match(await json('proxy rm better --yes'), { name: 'better' })
  t.match(await gw('proxy show better'), { code: 6 })
})

t.test('what is no proxy is refused with what would be, and without a word of its password', async t => {
  const cases: [url: string, says: RegExp][] = [
    ['10.0.0.1:3128', /is not a URL|has a scheme other/],
    ['ftp://host', /has a scheme other than http, https, socks5, socks5h/],
    [`http://u:${password}@host/path`, /has a path/],
    [`socks5://:${password}@host`, /a password without a user/],
    [`socks5://u:${'x'.repeat(300)}@host`, /more than 255 bytes/],
    [`http://u:%zz${password}@host`, /no escape/],
    [`http://u%0d%0ax:${password}@host`, /control characters/],
    ['http://host:0', /port 0/],
  ]
  for (const [url, says] of cases) {
    const { code, stderr, stdout } = await gw(['proxy', 'add', 'no', url])
    t.equal(code, 2, url)
    t.match(stderr, says)
    t.notMatch(stderr + stdout, new RegExp(password))
  }
  t.match(await gw('proxy add none http://host'), { code: 2, stderr: /"none" is not allowed/ })
  t.match(await gw('proxy add told http://host'), { code: 7 })
})

t.test('an account goes through it, and gw account test and gw proxy test do', async t => {
  const mock = await startMock({})
  t.teardown(() => mock.close())
  const way = await egress(t, { scheme: 'socks5', login: `user:${password}` })
  const key = await here.file('key.txt', 'upstream-key\n')
  await gw(['proxy', 'add', 'way', '-'], { stdin: way.url })
  t.match(
    await json([
      'account',
      'add',
      'one',
      '--platform',
      'anthropic',
      '--api-key-file',
      key,
      '--base-url',
      mock.url,
      '--proxy',
      'way',
    ]),
    { name: 'one', proxy: 'way' },
  )
  t.match(await gw('account set one --proxy nowhere'), { code: 6, stderr: /no proxy "nowhere"/ })
  t.match(await json('account test one'), { ok: true, status: 200 })
  t.strictSame(way.asked, [new URL(mock.url).host])
  t.match(await json(['proxy', 'test', 'way', '--url', `${mock.url}/`]), { proxy: 'way', ok: true, connect_ms: Number })
  t.equal(way.asked.length, 2)
  t.strictSame((await json('proxy show way'))['accounts'], ['one'])
  t.match(await gw('proxy rm way --yes'), { code: 7, stderr: /is the way of one/ })

  way.close()
  const dead = await gw('account test one --json')
  t.equal(dead.code, 1)
  t.match(JSON.parse(dead.stdout), { ok: false, verdict: { class: 'proxy', reason: 'proxy way: connection refused' } })
  const untested = await gw(['proxy', 'test', 'way', '--json'])
  t.match(untested, { code: 1, stderr: 'gw: proxy way: connection refused\n' })
  t.match(JSON.parse(untested.stdout), { ok: false })
  t.notMatch(dead.stdout + dead.stderr + untested.stdout + untested.stderr, new RegExp(password))

  t.match(await json('account set one --proxy none'), { proxy: null })
  t.match(await json('account test one'), { ok: true })
  t.match(await json('proxy rm way --yes'), { name: 'way' })
})

t.test('an account of antigravity serves other groups only when it is mixed', async t => {
  const key = await here.file('key.txt', 'upstream-key\n')
  for (const platform of ['anthropic', 'gemini', 'openai', 'antigravity'])
    await gw(`group add ${platform} --platform ${platform}`)
  const add = ['account', 'add', 'anti', '--platform', 'antigravity', '--api-key-file', key]
  t.match(await gw([...add, '--group', 'anthropic']), { code: 2, stderr: /or give it --mixed/ })
  t.match(await gw([...add, '--group', 'openai', '--mixed']), { code: 2, stderr: /its own platform/ })
  t.match(await json([...add, '--group', 'anthropic,gemini,antigravity', '--mixed']), { mixed: true })
  t.match(await gw('account set anti --no-mixed'), { code: 2, stderr: /or give it --mixed/ })
  const own = await json('account set anti --no-mixed --group antigravity')
  t.strictSame([own['mixed'], own['groups']], [false, ['antigravity']])
  t.match(await gw('account set one --mixed'), { code: 2, stderr: /--mixed is for accounts of antigravity/ })
})

t.test('where upstreams may not be anywhere, a base URL that leads home is refused when it is typed', async t => {
  const env = { GW_UPSTREAM_ALLOW_PRIVATE: 'false' }
  const key = await here.file('key.txt', 'sk-upstream')
  const add = (name: string, url: string, more: string[] = [], environment: Record<string, string> = env) =>
    gw(
      ['account', 'add', name, '--platform', 'anthropic', '--api-key-file', key, '--base-url', url, ...more, '--json'],
      { env: environment },
    )
  const cases: [url: string, says: RegExp][] = [
    ['https://10.0.0.1', /has the address 10\.0\.0\.1, which is private \(upstream\.allow_private is false\)/],
    ['https://0x7f.1/v1', /has the address 127\.0\.0\.1, which is loopback/],
    ['https://[::ffff:169.254.169.254]', /which is link-local, where clouds keep their metadata/],
    ['https://localhost:8443', /has the host localhost, a name of this machine or its own network/],
    ['http://93.184.216.34', /must begin with https:/],
  ]
  for (const [url, says] of cases) {
    const ran = await add('home', url)
    t.equal(ran.code, 5, url)
    t.match(ran.stderr, says)
    t.match(ran.stderr, /set upstream\.allow_private: true/)
  }
  t.equal((await add('far', 'https://93.184.216.34')).code, 0)
  t.match(await gw('account set far --base-url https://192.168.1.1', { env }), { code: 5 })
  t.equal((await gw('account set far --priority 3', { env })).code, 0, 'what it has already is not asked about')
  t.equal(
    (await add('named', 'https://nobody.invalid')).code,
    0,
    'a name that cannot be looked up now may be one later',
  )
  t.match(await add('through', 'https://[fd00::1]', ['--proxy', 'read']), { code: 5 }, 'behind a proxy, too')
  t.equal((await add('near', 'http://10.0.0.1', [], {})).code, 0, 'and without the setting it is as ever')
})

t.test('where upstreams may not be anywhere, a test of an account tells why nobody was asked', async t => {
  const ran = await gw('account test near --json', { env: { GW_UPSTREAM_ALLOW_PRIVATE: 'false' } })
  t.equal(ran.code, 1)
  t.match(JSON.parse(ran.stdout), {
    ok: false,
    status: null,
    verdict: { class: 'foreign', reason: /^the URL must begin/ },
  })
})

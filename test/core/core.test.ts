// The pure rooms: money, names, choice, secrets, ids, addresses.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { checkName, pick, unique } from '../../src/core/record/named.ts'
import { type AccountFacts, modelMap } from '../../src/core/snapshot.ts'
import { reasons, select } from '../../src/gateway/choose/select.ts'
import { allowList, cidrProblem } from '../../src/lib/address.ts'
import { requestId } from '../../src/lib/id.ts'
import { formatUsd, mulDiv, parseUsd } from '../../src/lib/money.ts'
import { Refusal } from '../../src/lib/refusal.ts'
import { openSecret, secretFrom } from '../../src/lib/secret.ts'
import { suggest } from '../../src/lib/suggest.ts'
import { formatDuration, formatSize, parseDuration, parseSize } from '../../src/lib/units.ts'

const random = (below: number) => Math.floor(Math.random() * below)

t.test('money is read and written exactly', async t => {
  const cases: [text: string, nano: bigint | undefined, written?: string][] = [
    ['0', 0n, '0.00'],
    ['12.5', 12_500_000_000n, '12.50'],
    ['12.345', 12_345_000_000n],
    ['0.000000001', 1n],
    ['-0.000000001', -1n],
    ['-3', -3_000_000_000n, '-3.00'],
    [' 7 ', 7_000_000_000n, '7.00'],
    ['999999999.999999999', 999_999_999_999_999_999n],
    ['0.10', 100_000_000n],
    ['100', 100_000_000_000n, '100.00'],
    ...['', '.5', '1.', '1,5', '1e3', '+1', '--1', '0x1', '1.0000000001', '1234567890', '1 2', 'NaN', '１'].map(
      (bad): [string, undefined] => [bad, undefined],
    ),
  ]
  for (const [text, nano, written = text] of cases) {
    t.equal(parseUsd(text), nano, `reads "${text}"`)
    if (nano !== undefined) t.equal(formatUsd(nano), written, `writes ${nano}`)
  }
  for (let i = 0; i < 1000; i++) {
    const nano = BigInt(random(2 ** 48)) * (i % 2 ? 1n : -1n)
    if (parseUsd(formatUsd(nano)) !== nano) t.fail(`${nano} becomes ${formatUsd(nano)}`)
  }
})

/** Half up, by its definition: the whole number nearest to n/d, the upper of two. */
function nearest(n: bigint, d: bigint): bigint {
  let whole = n / d
  while (2n * (n - whole * d) >= d) whole++
  return whole
}

t.test('money times a rate is rounded half up', async t => {
  t.equal(mulDiv(1n, 1n, 2n), 1n)
  t.equal(mulDiv(3n, 1n, 2n), 2n)
  t.equal(mulDiv(1n, 4999n, 10_000n), 0n)
  t.equal(mulDiv(1n, 5000n, 10_000n), 1n)
  t.equal(mulDiv(1n, 1n, 3n), 0n)
  t.equal(mulDiv(2n, 1n, 3n), 1n)
  t.equal(mulDiv(10n ** 30n, 15_000n, 10_000n), 15n * 10n ** 29n)
  for (let i = 0; i < 1000; i++) {
    const [a, b, c] = [BigInt(random(1e6)), BigInt(random(50_000)), BigInt(1 + random(10_000))]
    if (mulDiv(a, b, c) !== nearest(a * b, c)) t.fail(`${a} × ${b} ÷ ${c} is ${mulDiv(a, b, c)}`)
  }
})

t.test('a model map', async t => {
  const map = modelMap({
    'claude-opus-5': 'opus',
    'claude-*': 'vendor/claude-*',
    'claude-sonnet-*': 'sonnet',
    '*-not-a-suffix': 'x',
    'gpt-*': '*',
    'same-*': 'same-*',
    constructor: 'own',
  })
  const cases: Record<string, string | undefined> = {
    'claude-opus-5': 'opus',
    'claude-opus-5-20250101': 'vendor/claude-opus-5-20250101',
    'claude-haiku': 'vendor/claude-haiku',
    'claude-': 'vendor/claude-',
    'claude-sonnet-5': 'sonnet',
    'gpt-7': '7',
    'same-x': 'same-x',
    constructor: 'own',
    toString: undefined,
    '*-not-a-suffix': 'x',
    'y-not-a-suffix': undefined,
    claude: undefined,
    '': undefined,
  }
  for (const [model, upstream] of Object.entries(cases)) t.equal(map(model), upstream, `"${model}"`)
  t.same([...map.listed].sort(), ['*-not-a-suffix', 'claude-opus-5', 'constructor'])
  t.notOk(map.all)
  t.equal(modelMap({ '*': 'one' })('anything'), 'one')
  t.equal(modelMap({ '*': 'x/*' })('m'), 'x/m')

  const open = modelMap({})
  t.same([open('anything'), open.listed, open.all], ['anything', [], true])
})

t.test('select', async t => {
  const account = (id: number, more: Partial<AccountFacts> = {}): AccountFacts => ({
    id,
    name: `a${id}`,
    platform: 'anthropic',
    type: 'apikey',
    baseUrl: null,
    dialect: 'auto',
    concurrency: 0,
    priority: 50,
    status: 'active',
    reason: null,
    models: modelMap({}),
    expiresAt: 0,
    interceptWarmup: false,
    mixed: false,
    proxy: null,
    ...more,
  })
  const now = 1000
  interface Case {
    accounts: AccountFacts[]
    held?: number[]
    excluded?: number[]
    sticky?: number
    vetoes?: Record<number, { reason: string; until: number; waitable: boolean; class: 'burst' }>
    chosen?: [number, number][]
    ranked: number[]
    full?: number
    why?: string
  }
  const cases: Record<string, Case> = {
    'no accounts': { accounts: [], ranked: [], why: 'the group has no accounts' },
    'lower priority first': {
      accounts: [account(1, { priority: 20 }), account(2, { priority: 3 }), account(3, { priority: 100 })],
      ranked: [2, 1, 3],
    },
    'priority before load': {
      accounts: [account(1, { priority: 2 }), account(2, { priority: 1, concurrency: 10 })],
      held: [0, 9],
      ranked: [2, 1],
    },
    'load is a share, not a number': {
      accounts: [account(1, { concurrency: 2 }), account(2, { concurrency: 100 })],
      held: [1, 20],
      ranked: [2, 1],
    },
    'no limit is no load': {
      accounts: [account(1, { concurrency: 100 }), account(2, { concurrency: 0 }), account(3, { concurrency: -1 })],
      held: [1, 500, 500],
      ranked: [2, 3, 1],
    },
    'load before the longest rest': {
      accounts: [account(1, { concurrency: 4 }), account(2, { concurrency: 4 })],
      held: [2, 1],
      chosen: [[2, 99]],
      ranked: [2, 1],
    },
    'the longest rest first, and never chosen before all': {
      accounts: [account(1), account(2), account(3)],
      chosen: [
        [1, 7],
        [2, 5],
      ],
      ranked: [3, 2, 1],
    },
    'what ties keeps its order': { accounts: [account(3), account(1), account(2)], ranked: [3, 1, 2] },
    'full is neither ranked nor unfit': {
      accounts: [account(1, { concurrency: 2 }), account(2, { concurrency: 2 }), account(3, { concurrency: 1 })],
      held: [2, 1, 5],
      ranked: [2],
      full: 2,
    },
    'tried, paused, in error, expired': {
      accounts: [
        account(1),
        account(2, { status: 'paused' }),
        account(3, { status: 'error' }),
        account(4, { expiresAt: now }),
        account(5, { expiresAt: now + 1 }),
        account(6, { status: 'paused' }),
      ],
      excluded: [1],
      ranked: [5],
      why: '1 tried, 2 paused, 1 in error, 1 expired',
    },
    'only who serves the model': {
      accounts: [account(1, { models: modelMap({ other: 'x' }) }), account(2, { models: modelMap({ 'm*': 'up/m*' }) })],
      ranked: [2],
      why: '1 model not served',
    },
    'the session’s account before all others, whatever its priority': {
      accounts: [account(1, { priority: 1 }), account(2, { priority: 90 })],
      sticky: 2,
      ranked: [2, 1],
    },
    'not the session’s account when it is out': {
      accounts: [account(1), account(2)],
      sticky: 2,
      vetoes: { 2: { reason: 'rate limited: burst', until: now + 5, waitable: false, class: 'burst' } },
      ranked: [1],
      why: '1 rate limited',
    },
    'unfit counts once, and not as full': {
      accounts: [account(1, { status: 'paused', concurrency: 1, models: modelMap({ other: 'x' }) })],
      held: [1],
      ranked: [],
      why: '1 paused',
    },
  }
  for (const [name, c] of Object.entries(cases)) {
    const chosen = new Map(c.chosen)
    const facts = {
      accounts: c.accounts,
      model: 'm',
      now,
      excluded: new Set(c.excluded),
      held: c.held ?? c.accounts.map(() => 0),
      chosen: (id: number) => chosen.get(id) ?? 0,
      sticky: c.sticky,
      veto: (account: number) => c.vetoes?.[account],
    }
    const got = select(facts)
    t.same(
      got.ranked.map(candidate => candidate.account.id),
      c.ranked,
      name,
    )
    t.equal(got.full.length, c.full ?? 0, `${name}: full`)
    if (c.why !== undefined) t.equal(reasons(facts), c.why, `${name}: why`)
  }
  const [mapped] = select({
    accounts: [account(1, { models: modelMap({ m: 'up' }), concurrency: 4 })],
    model: 'm',
    now,
    excluded: new Set(),
    held: [1],
    chosen: () => 0,
    sticky: undefined,
    veto: () => undefined,
  }).ranked
  t.match(mapped, { upstreamModel: 'up', load: 0.25 })
})

t.test('records are named by name or number', async t => {
  const records = [
    { id: 1, name: 'alice' },
    { id: 2, name: 'bob' },
    { id: 12, name: 'b12' },
  ]
  t.equal(pick('user', records, 'bob').id, 2)
  t.equal(pick('user', records, '12').name, 'b12')
  const refused = (ref: string) => {
    try {
      return pick('user', records, ref).name
    } catch (error) {
      return error instanceof Refusal ? `${error.kind}: ${error.message}` : error
    }
  }
  t.equal(refused('alcie'), 'missing: no user "alcie"; did you mean "alice"? (gw user list shows them)')
  t.equal(refused('3'), 'missing: no user "3" (gw user list shows them)')
  t.match(refused('Alice'), /^missing: no user "Alice"; did you mean "alice"/)
  t.match(refused(''), /^missing/)
  t.match(refused('-1'), /^missing/)

  for (const good of ['a', 'Ärger', '名前', 'a.b_c@d+e:f-g', '1a', 'x'.repeat(100)])
    t.equal(checkName('user', good), good)
  for (const bad of ['', '1', '007', '-a', '.a', 'a b', 'a/b', 'a\n', 'a*', '"a"', 'x'.repeat(101)])
    t.throws(() => checkName('user', bad), { name: 'Refusal', message: /use|add a letter/ }, `not "${bad}"`)

  const conflict = (constraint: string) =>
    unique('user', 'bob', Promise.reject(Object.assign(new Error('duplicate'), { code: '23505', constraint })))
  await t.rejects(conflict('users_name'), { kind: 'conflict', message: /^user "bob" exists already/ })
  await t.rejects(conflict('users_email'), { kind: 'conflict', message: /^a user with this e-mail exists/ })
  await t.rejects(unique('user', 'bob', Promise.reject(new Error('away'))), { message: 'away' })
  t.equal(await unique('user', 'bob', Promise.resolve(5)), 5)

  t.equal(suggest('--lsiten', ['--listen', '--list']), '--listen')
  t.equal(suggest('xyz', ['--listen', 'account']), undefined)
})

t.test('a secret seals what it alone can open', async t => {
  const secret = secretFrom(Buffer.alloc(32, 1))
  const other = secretFrom(Buffer.alloc(32, 2))
  for (const plain of ['', 'sk-ant-x', '{"access_token":"é🙂"}', 'x'.repeat(10_000)]) {
    const sealed = secret.encrypt(plain)
    t.equal(secret.decrypt(sealed), plain)
    t.equal(secret.decrypt(new Uint8Array(sealed)), plain, 'as Postgres hands it out')
    t.equal(sealed.length, 33 + Buffer.byteLength(plain))
    t.notOk(plain.length > 3 && sealed.includes(plain))
  }
  t.notSame(secret.encrypt('same'), secret.encrypt('same'), 'no two alike')

  const sealed = secret.encrypt('sk-ant-x')
  const wrong: number[] = []
  for (let i = 0; i < sealed.length; i++) {
    const changed = Buffer.from(sealed)
    changed[i]! ^= 0x10
    try {
      secret.decrypt(changed)
      wrong.push(i)
    } catch (error) {
      if (!(error instanceof Refusal) || error.kind !== 'config') wrong.push(i)
    }
  }
  t.same(wrong, [], 'every changed byte is refused, as a Refusal')
  for (let length = 0; length < sealed.length; length++)
    t.throws(() => secret.decrypt(sealed.subarray(0, length)), { name: 'Refusal' }, `cut to ${length} bytes`)
  t.throws(() => secret.decrypt(Buffer.concat([sealed, Buffer.of(0)])), { name: 'Refusal' })
  t.throws(() => secret.decrypt(secret.encrypt('').subarray(0, 32)), { name: 'Refusal' }, 'a shorter tag is none')
  t.throws(() => other.decrypt(sealed), { name: 'Refusal', message: /another secret/ })

  t.same(secret.digest('sk-1'), secret.digest('sk-1'))
  t.notSame(secret.digest('sk-1'), secret.digest('sk-2'))
  t.notSame(secret.digest('sk-1'), other.digest('sk-1'))
  t.notSame(secret.digest('sk-1'), createHash('sha256').update('sk-1').digest(), 'it needs the key')
  t.equal(secret.digest('').length, 32)
})

t.test('what an earlier gw sealed opens, and its digests still match', async t => {
  const secret = secretFrom(Buffer.alloc(32, 1))
  const sealed = '010f5e026eaa1400c6a75a418a8968be889cde76f3888c56bec3af521dfbbd074de742a120a45d2c6e'
  t.equal(secret.decrypt(Buffer.from(sealed, 'hex')), 'sk-ant-x')
  t.equal(secret.digest('sk-1').toString('hex'), '21ba15264a39688e43c8787a163696f0a22baba8c13a9cb1bfe5c2dd24d78dfe')
})

t.test('the key file', async t => {
  const dir = folder(t)
  const file = path.join(dir, 'made/by/gw/secret.key')
  const umask = process.umask(0)
  const first = openSecret(file)
  process.umask(umask)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.match(readFileSync(file, 'utf8'), /^[0-9a-f]{64}\n$/)
  t.equal(openSecret(file).decrypt(first.encrypt('x')), 'x')
  t.same(readdirSync(path.dirname(file)), ['secret.key'], 'nothing else is left')

  const leftover = path.join(dir, 'secret.key')
  writeFileSync(`${leftover}.${process.pid}.tmp`, 'what a start left that was killed under this pid')
  t.ok(openSecret(leftover))

  for (const text of ['', 'short', 'g'.repeat(64), `${'a'.repeat(64)}\n${'b'.repeat(64)}`, 'a'.repeat(63)]) {
    const bad = path.join(dir, 'bad.key')
    writeFileSync(bad, text)
    t.throws(() => openSecret(bad), { kind: 'config', message: /must hold 64 hexadecimal digits/ })
    t.equal(readFileSync(bad, 'utf8'), text, 'and is left as it is')
  }
  t.throws(() => openSecret(dir), { kind: 'unreachable', message: /cannot be read/ })
  t.throws(() => openSecret(path.join(leftover, 'x/secret.key')), { name: 'Refusal', message: /cannot be/ })
})

t.test('several processes that start at once agree on one secret', async t => {
  const file = path.join(folder(t), 'secret.key')
  const script = `
    import { openSecret } from ${JSON.stringify(new URL('../../src/lib/secret.ts', import.meta.url).href)}
    process.stdout.write(openSecret(${JSON.stringify(file)}).digest('x').toString('hex'))`
  const run = promisify(execFile)
  const digests = await Promise.all(
    Array.from({ length: 4 }, () => run(process.execPath, ['--input-type=module', '-e', script], { env: {} })),
  )
  t.same(new Set(digests.map(d => d.stdout)), new Set([openSecret(file).digest('x').toString('hex')]))
})

t.test('request ids sort by time and never repeat', async t => {
  const times = [0, 1, 999, 2 ** 32, Date.UTC(2026, 10, 23), Date.UTC(2026, 10, 23) + 1, 2 ** 48 - 1]
  const ids = times.map(requestId)
  t.same([...ids].sort(), ids)
  for (const [i, id] of ids.entries()) {
    t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    t.equal(Number.parseInt(id.replace('-', '').slice(0, 12), 16), times[i], 'the time can be read back')
  }
  const many = new Set<string>()
  const varies = Array.from({ length: 36 }, () => new Set<string>())
  for (let i = 0; i < 20_000; i++) {
    const id = requestId(1000)
    many.add(id)
    for (let at = 0; at < 36; at++) varies[at]!.add(id[at]!)
  }
  t.equal(many.size, 20_000)
  t.equal(
    varies.map(set => set.size.toString(36)).join(''),
    '111111111111111ggg14ggg1gggggggggggg',
    'all the rest is random',
  )
})

t.test('an address list', async t => {
  const cases: [list: string[], lets: string[], not: string[]][] = [
    [[], ['1.2.3.4', '::1', 'anything'], []],
    [['192.0.2.7'], ['192.0.2.7', '::ffff:192.0.2.7'], ['192.0.2.8', '::1', '', 'x', '::ffff:192.0.2.8']],
    [['10.0.0.0/8'], ['10.0.0.0', '10.255.255.255', '::ffff:10.1.1.1'], ['11.0.0.0', '9.255.255.255']],
    [['10.1.2.3/8'], ['10.9.9.9'], ['11.1.2.3']],
    [['2001:db8::/32'], ['2001:db8::1', '2001:db8:ffff::'], ['2001:db9::1', '10.0.0.1']],
    [['::1'], ['::1'], ['::2', '127.0.0.1']],
    [['192.0.2.0/24', '::1'], ['192.0.2.255', '::1'], ['192.0.3.0']],
    [['0.0.0.0/0'], ['8.8.8.8'], ['::1']],
    [['192.0.2.0/32'], ['192.0.2.0'], ['192.0.2.1']],
  ]
  for (const [list, lets, not] of cases) {
    const allows = allowList(list)
    for (const ip of lets) t.ok(allows(ip), `${list} lets ${ip} in`)
    for (const ip of not) t.notOk(allows(ip), `${list} keeps ${ip} out`)
  }
  for (const good of ['192.0.2.7', '10.0.0.0/8', '0.0.0.0/0', '2001:db8::/32', '::/0', '::1/128', '::ffff:1.2.3.4']) {
    t.equal(cidrProblem(good), undefined, good)
    allowList([good])
  }
  for (const bad of ['', 'x', '1.2.3', '1.2.3.256', '10.0.0.0/8/8', ' 10.0.0.0', 'example.org', '10.0.0.*'])
    t.match(cidrProblem(bad), /is not an IP address or CIDR/, `"${bad}"`)
  for (const bad of ['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/a', '10.0.0.0/8.0', '10.0.0.0/0008'])
    t.match(cidrProblem(bad), /needs a prefix length of 0–32/, bad)
  t.match(cidrProblem('::/129'), /needs a prefix length of 0–128/)
})

t.test('durations and sizes', async t => {
  const durations: [string, number | undefined, string?][] = [
    ['250ms', 250],
    ['90s', 90_000],
    ['1h30m', 5_400_000, '90m'],
    ['1m500ms', 60_500, '60500ms'],
    ['1.5s', 1500, '1500ms'],
    ['30d', 2_592_000_000],
    ['0s', 0, '0ms'],
    ...['', '5', 's', '1 s', '-1s', '1S', '1w', '1s ', '1.s'].map((bad): [string, undefined] => [bad, undefined]),
  ]
  for (const [text, ms, written = text] of durations) {
    t.equal(parseDuration(text), ms, `"${text}"`)
    if (ms !== undefined) t.equal(formatDuration(ms), written)
  }
  const sizes: [string, number | undefined, string?][] = [
    ['512B', 512],
    ['64KB', 65_536],
    ['100 mb', 104_857_600, '100MB'],
    ['2GB', 2_147_483_648],
    ['1024KB', 1_048_576, '1MB'],
    ['0B', 0],
    ...['', '5', 'MB', '1.5MB', '-1B', '1TB'].map((bad): [string, undefined] => [bad, undefined]),
  ]
  for (const [text, bytes, written = text] of sizes) {
    t.equal(parseSize(text), bytes, `"${text}"`)
    if (bytes !== undefined) t.equal(formatSize(bytes), written)
  }
})

function folder(t: Test): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'gw-core-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

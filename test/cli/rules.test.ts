// The rules that hold for every command: streams, exit codes, help, suggestions, colour, signals.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { nouns } from '../../src/cli/nouns.ts'
import { define } from '../../src/cli/run.ts'
import { pages } from '../../src/cli/topics.ts'
import { firstSteps } from '../../src/daemon/run.ts'
import { called } from '../../src/lib/called.ts'
import { bin, each, home, noTerminal } from './gw.ts'

const here = await home(t)
const { gw, spawned, json } = here

t.test('every command of the table has help, and says what its options are', async t => {
  const overview = await gw('--help')
  t.equal(overview.code, 0)
  t.equal(overview.stderr, '')
  const words: string[][] = []
  for (const [word, noun] of Object.entries(nouns)) {
    t.match(overview.stdout, new RegExp(`^  ${word} +${noun.summary.slice(0, 10)}`, 'm'))
    const command = define(word, await noun.load(), process, () => async () => {})
    // What there is of verbs is seen without asking for more.
    for (const verb of command.commands)
      t.match(noun.summary, new RegExp(`\\b${verb.name()}\\b`), `${word} ${verb.name()}`)
    words.push([word], ...command.commands.map(verb => [word, verb.name()]))
    for (const { options } of [command, ...command.commands])
      for (const option of options) t.ok(option.description, `${word} ${option.flags}`)
    t.ok(command.description(), word)
  }
  t.ok(words.length > 35)
  await each(words, async word => {
    const help = await gw([...word, '--help'])
    t.match(help, { code: 0, stderr: '' }, word.join(' '))
    t.match(help.stdout, `Usage: gw ${word.join(' ')}`)
    t.match(help.stdout, /--data-dir <dir>/)
  })
  t.match((await gw([])).stdout, overview.stdout)
  t.match((await gw('help')).stdout, overview.stdout)
  const { stdout } = await gw('user add -h')
  await each(
    [
      ['help', 'user', 'add'],
      ['-h', 'user', 'add'],
      ['user', '--help', 'add'],
      ['--json', 'user', 'add', '-h'],
    ],
    async args => {
      t.equal((await gw(args)).stdout, stdout, args.join(' '))
    },
  )
})

t.test('every page of help is there', async t => {
  await each(Object.keys(pages), async page => {
    t.match(await gw(['help', page]), { code: 0, stdout: /\n\n/, stderr: '' }, page)
  })
  const foot = (await gw('help')).stdout.trimEnd().split('\n').at(-1)!
  t.equal(foot, `gw help ${Object.keys(pages).join(' | ')}`)
  t.match((await gw('help exit-codes')).stdout, /^ {2}7 +conflict/m)
  t.match(await gw('help exit-code'), { code: 2, stderr: /did you mean "exit-codes"/ })
})

t.test('a slip is answered on one line, with what was meant, and exit code 2', async t => {
  const cases = [
    [['usr', 'list'], /^gw: no command "usr"; did you mean "user"\? /],
    [['user', 'lst'], /^gw: unknown command 'lst'; did you mean list\? \(gw user --help /],
    [
      ['user', 'add', 'x', '--balanc', '3'],
      /^gw: unknown option '--balanc'; did you mean --balance\? \(gw user add --help /,
    ],
    [['user', 'add'], /missing required argument 'name'/],
    [['user', 'list', 'x'], /too many arguments/],
    [['group', 'add', 'x'], /required option '--platform <platform>'/],
    [['group', 'add', 'x', '--platform', 'antropic'], /one of anthropic openai .*did you mean "anthropic"/],
    [['--nosuch'], /unknown option "--nosuch"/],
    [
      ['user', 'add', 'x', '--concurrency', 'x'],
      /--concurrency must be a whole number of 0 or more \(0 = no limit\), got "x"/,
    ],
    [['user', 'set', 'x'], /nothing to change/],
    [['serve', '--no-traffic'], /--no-traffic belongs to --demo/],
    [['mock', '--listen', '8090'], /--listen: a port alone does not say who may connect/],
    [['top', '-n', '3'], /-n belongs to --batch/],
    [['try', '--model', 'm', 'hello'], /--key-file FILE, or GW_KEY/],
    [['help', '--bogus'], /unknown option "--bogus"/],
    [['help', 'user', '--bogus'], /unknown option "--bogus"/],
  ] as const
  await each(cases, async ([args, says]) => {
    const ran = await gw(args)
    t.match(ran, { code: 2, stdout: '', stderr: says }, args.join(' '))
    t.equal(ran.stderr.split('\n').length, 2, 'one line')
  })
  t.match(await gw('user'), { code: 2, stdout: '', stderr: /Usage: gw user/ })
})

t.test('a secret that is given as an argument is not quoted, and told where it belongs', async t => {
  const add = 'account add a --platform anthropic'
  const cases = [
    [
      `${add} --api-key sk-abcdef0123456789`,
      /^gw: --api-key: a secret is no argument.* --api-key-file FILE or --api-key-stdin \(/,
    ],
    [`${add} --api-key=sk-abcdef0123456789`, /--api-key-file FILE or --api-key-stdin/],
    [`${add} --token sk-abcdef0123456789`, /--api-key-file FILE or --api-key-stdin or --oauth-file FILE/],
    [`${add} --oauth sk-abcdef0123456789`, /give it with --oauth-file FILE \(/],
    ['account set a --key sk-abcdef0123456789', /--api-key-file FILE/],
    ['account login a --client-secret sk-abcdef0123456789', /--client-secret-file FILE or --client-secret-stdin/],
    ['proxy add p http://127.0.0.1:1 --password sk-abcdef0123456789', /--login-file FILE or --login-stdin/],
    ['proxy set p --login=sk-abcdef0123456789', /--login-file FILE or --login-stdin/],
    ['alert channel add c --type webhook --url https://h --secret sk-abcdef0123456789', /--secret-file FILE/],
    ['try --model m --key sk-abcdef0123456789 hello', /--key-file FILE/],
    [`${add} sk-abcdef0123456789`, /too many arguments/],
    ['user list --key=sk-abcdef0123456789', /unknown option '--key'/],
  ] as const
  await each(cases, async ([line, says]) => {
    const ran = await gw(line)
    t.match(ran, { code: 2, stdout: '', stderr: says }, line)
    t.notMatch(ran.stderr, 'abcdef0123456789')
  })
})

t.test('what to type next is told as gw was called', async t => {
  const node = await here.file('node', '#!/bin/sh\nprintf %s "$gw_called"\n')
  chmodSync(node, 0o755)
  const root = path.dirname(path.dirname(bin))
  const as = (typed: string, PATH = process.env['PATH']!) =>
    spawnSync('sh', ['-c', typed], { env: { PATH, GW_NODE: node }, cwd: root, encoding: 'utf8' }).stdout
  t.equal(as('bin/gw'), 'bin/gw')
  t.equal(as(bin), bin)
  t.equal(as('gw', `${path.dirname(bin)}:${process.env['PATH']}`), 'gw')

  t.equal(called({ gw_called: 'gw', npm_lifecycle_event: 'npx' }), 'npx gw')
  t.equal(called({ gw_called: 'bin/gw' }, ['--data-dir', '/a b']), "bin/gw --data-dir '/a b'")
  const steps = firstSteps('http://127.0.0.1:8080', 'npx gw')
  t.equal(steps.match(/^ {2}npx gw \w+ add .*$/gm)?.length, 3)
  t.notMatch(steps.replaceAll('npx gw', ''), /\bgw\b/)
})

t.test('a wrong configuration is exit code 3, with every mistake in its place', async t => {
  const file = await here.file('bad.yaml', 'listne: x\nlog:\n  level: loud\n')
  const says = /^gw: .*bad\.yaml:1:1 listne: .*did you mean "listen"\?\ngw: .*bad\.yaml:3:10 log\.level: .*\n$/
  await each([['config', 'check'], ['user', 'list'], ['ping']], async args => {
    t.match(await gw([...args, '--config', file]), { code: 3, stdout: '', stderr: says })
  })
  t.match(await gw('config check'), { code: 0, stdout: /^configuration is valid/ })
  t.match(await gw('ping', { env: { GW_LISTNE: 'x' } }), { code: 3, stderr: /GW_LISTEN/ })

  const models = async (text: string) => {
    const env = { GW_MODELS_FILE: await here.file('models.json', text) }
    return gw('config check', { env })
  }
  t.match(await models('{"anthropic":{"claude-opus-5-5*":{"forcedTools":true}}}'), { code: 0 })
  t.match(await models('{"anthropic":{"claude-x*":{"efforts":["huge"]}},"grok":{}}'), {
    code: 3,
    stderr:
      /models\.json: anthropic\.claude-x\*\.efforts: must be a list of "minimal".*\n.*grok: is no vendor; use anthropic/,
  })
  t.match(await models('{'), { code: 3, stderr: /models\.file .*models\.json: its text is not JSON/ })
  t.match(await gw('config check', { env: { GW_MODELS_FILE: '/nowhere.json' } }), { code: 3, stderr: /cannot be read/ })
})

t.test('the configuration is shown, with where each value comes from, and without secrets', async t => {
  const env = { GW_OPS_TOKEN: 'very-secret', DATABASE_URL: 'postgres://gw:hunter2@db.example/gw' }
  const shown = await json<Record<string, { value: unknown; origin: string }>>(
    ['config', 'show', '--origin', '--data-dir', '/tmp/x'],
    { env },
  )
  t.match(shown['data_dir'], { value: '/tmp/x', origin: 'flag --data-dir' })
  t.match(shown['ops.token'], { value: '***', origin: 'env GW_OPS_TOKEN' })
  t.match(shown['workers'], { value: 1, origin: 'default' })
  const table = await gw('config show', { env })
  t.match(table.stdout, /^database\.url +postgres:\/\/gw:\*\*\*@db\.example\/gw$/m)
  t.notMatch(JSON.stringify(shown) + table.stdout, /very-secret|hunter2/)
  t.match(await json('config schema'), { type: 'object', properties: { listen: {} } })

  const file = path.join(here.folder, 'new/gw.yaml')
  t.match(await gw(['config', 'init', '--config', file, '--dry-run']), { code: 0, stdout: `${file}\n` })
  t.notOk(existsSync(file))
  t.match(await json(['config', 'init', '--config', file]), { file })
  t.match(readFileSync(file, 'utf8'), /^#listen: /m)
  t.match(await gw(['config', 'init', '--config', file]), { code: 7, stderr: /exists already/ })
  t.match(await json(['config', 'check', '--config', file]), { valid: true, file })
})

t.test('what cannot be reached is exit code 4', async t => {
  const port = await closedPort()
  const env = { GW_DATABASE_URL: `postgres://gw:hunter2@127.0.0.1:${port}/gw` }
  await each(
    [
      ['user', 'list'],
      ['db', 'status'],
      ['usage', 'stats', '--json'],
    ],
    async args => {
      const ran = await gw(args, { env })
      t.match(
        ran,
        { code: 4, stdout: '', stderr: /^gw: database\.url: nobody listens there \(127\.0\.0\.1 port \d+\); .*\n$/ },
        args.join(' '),
      )
      t.notMatch(ran.stderr, 'hunter2')
    },
  )
  t.match((await gw('user list --debug', { env })).stderr, /\n {4}at .*\ncaused by /s, 'with a stack when asked for')
  await each([['ping'], ['status'], ['status', '--json'], ['top', '--once', '--json']], async args => {
    t.match(await gw(args), { code: 4, stdout: '', stderr: /^gw: no gw daemon answers on .*\n$/ }, args.join(' '))
  })
  const asked = ['try', '--model', 'm', 'hello', '--url', `http://127.0.0.1:${port}`]
  t.match(await gw(asked, { env: { GW_KEY: 'sk-x' } }), {
    code: 4,
    stderr: /^gw: no gateway answers at \S+: nobody listens there; .*\n$/,
  })
})

t.test('the version is told', async t => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  t.same(await gw('version'), { code: 0, stdout: `gw ${version}\n`, stderr: '' })
  t.match(await gw('--version'), { stdout: `gw ${version}\n` })
  t.match(await json('version --verbose'), {
    version,
    node: process.versions.node,
    postgres: /^\d+/,
    platform: process.platform,
  })
})

t.test('a reader that goes away early is no error', async t => {
  const gone = (child: ReturnType<typeof spawn>) => child.stdout!.destroy()
  t.same(await spawned('config schema', { started: gone }), { code: 0, stdout: '', stderr: '' })
})

t.test('Ctrl-C ends a command with 130, SIGTERM with 143', async t => {
  // Somebody who listens and never answers.
  const server = createServer()
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const started = (child: ReturnType<typeof spawn>) => void once(server, 'request').then(() => child.kill(signal))
    t.same(await spawned(['try', '--model', 'm', 'hi', '--url', url], { env: { GW_KEY: 'sk-x' }, started }), {
      code,
      stdout: '',
      stderr: '',
    })
  }
})

t.test('the mock runs until it is told to stop', async t => {
  const port = await closedPort()
  const child = spawn(bin, ['mock', '--listen', `127.0.0.1:${port}`], {
    env: here.env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [first] = (await once(child.stdout, 'data')) as [Buffer]
  t.match(first.toString(), `mock provider at http://127.0.0.1:${port}`)
  const reply = await fetch(`http://127.0.0.1:${port}/v1/messages`, {
    method: 'POST',
    headers: { 'x-api-key': 'any', 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', max_tokens: 10, messages: [{ role: 'user', content: 'hi' }] }),
  })
  t.match(await reply.json(), { type: 'message' })
  child.kill('SIGTERM')
  t.same(await once(child, 'close'), [0, null])
})

t.test('colour is for terminals that want it', { skip: noTerminal }, async t => {
  const show = ['config', 'show']
  t.match((await here.onTerminal(show)).stdout, '\x1b[1mKEY')
  t.notMatch((await here.onTerminal(show, { env: { NO_COLOR: '1' } })).stdout, '\x1b[')
  t.notMatch((await here.onTerminal(show, { env: { TERM: 'dumb' } })).stdout, '\x1b[')
  t.notMatch((await here.onTerminal([...show, '--no-color'])).stdout, '\x1b[')
  t.notMatch((await gw(show)).stdout, '\x1b[')
})

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

t.test('a file that an option names is a regular one of a size that is no accident', async t => {
  const here = await home(t)
  const large = await here.file('large', 'x'.repeat(1024 * 1024 + 1))
  const pipe = path.join(here.folder, 'pipe')
  spawnSync('mkfifo', [pipe])
  const add = 'account add a --platform anthropic --group g'
  const device = (path: string) => new RegExp(`${path}.* cannot be read: it is a device, and must be a regular file`)
  for (const [line, code, stderr] of [
    [`${add} --api-key-file /dev/zero`, 2, device('/dev/zero')],
    [`${add} --oauth-file /dev/zero`, 2, device('/dev/zero')],
    [`${add} --api-key-file ${pipe}`, 2, /it is a pipe, and must be a regular file/],
    [
      `${add} --api-key-file ${here.folder}`,
      2,
      /^gw: --api-key-file \S+ cannot be read: illegal operation on a directory\n$/,
    ],
    [`${add} --api-key-file ${large}`, 2, /it holds 1 MiB, and may hold 1 MiB at most/],
    ['try hello --model m --key-file /dev/zero', 2, device('/dev/zero')],
    ['price import /dev/zero', 2, device('/dev/zero')],
    ['config check --config /dev/zero', 3, /\/dev\/zero: cannot be read: it is a device, and must be a regular file/],
    ['config check --config /proc/self/environ', 3, /./],
  ] as const) {
    const ran = await here.gw(line)
    t.equal(ran.code, code, line)
    t.match(ran.stderr, stderr, line)
  }
  const sent = await here.gw(`${add} --api-key-stdin`, { stdin: 'x'.repeat(1024 * 1024 + 1) })
  t.match(sent, { code: 2, stderr: /stdin cannot be read: it holds more, and may hold 1 MiB at most/ })
  const good = await here.file('good', 'sk-good')
  for (const [more, code] of [
    ['--group nowhere', 6],
    ['--proxy nowhere', 6],
    ['--dry-run', 0],
  ] as const) {
    t.equal((await here.gw(`account add a --platform anthropic --api-key-file ${good} ${more}`)).code, code, more)
    t.notOk(existsSync(path.join(here.dataDir, 'secret.key')), `${more}: what comes to nothing makes no key file`)
  }
  t.equal((await here.gw(`account add a --platform anthropic --api-key-file ${good}`)).code, 0)
  t.ok(existsSync(path.join(here.dataDir, 'secret.key')))
  const key = await here.gw('user list', { env: { GW_SECRET_KEY_FILE: '/dev/zero' } })
  t.equal(key.code, 0, 'what needs no secret reads none')
  const prices = await here.gw('price import -', { stdin: `${' '.repeat(3 * 1024 * 1024)}{}` })
  t.notMatch(prices.stderr, /may hold/, 'a table of prices may be larger')
})

t.test('tests of alert rules alone are of the shipped rules', async t => {
  const tests = fileURLToPath(new URL('../../config/alerts.test.yaml', import.meta.url))
  const alone = await gw(['alert', 'rule', 'check', tests])
  t.match(alone, { code: 0, stdout: /^\d\d rules, \d\d tests, all passed\n$/ })
  const rules = fileURLToPath(new URL('../../config/alerts.yaml', import.meta.url))
  t.equal((await gw(['alert', 'rule', 'check', rules, tests])).stdout, alone.stdout)
})

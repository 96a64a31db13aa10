// One promise: whatever an operator writes, gw either does exactly that or says what to write instead.

import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type LoadOptions, loadConfig } from '../../src/config/load.ts'
import { type SettingKey, shown } from '../../src/config/schema.ts'
import { Refusal } from '../../src/lib/refusal.ts'

const home = { HOME: '/home/op' }

/** Loads `yaml` as gw.yaml, in a folder of its own. */
function load(t: Test, yaml: string, options: LoadOptions = {}) {
  const file = join(t.testdir({ 'gw.yaml': yaml }), 'gw.yaml')
  return loadConfig({ file, uid: 1000, ...options, env: { ...home, ...options.env } })
}

/** Every line of the refusal, with the folder of the test cut off. */
function problems(t: Test, yaml: string, options?: LoadOptions): string[] {
  return refused(t, () => load(t, yaml, options))
}

function refused(t: Test, act: () => unknown): string[] {
  try {
    act()
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    t.equal(error.kind, 'config')
    return error.message.replaceAll(`${t.testdirName}/`, '').split('\n')
  }
  return []
}

t.test('without any file, variable or flag everything has its default', async t => {
  const { config, origin } = load(t, '')
  t.same(config.listen, { host: '127.0.0.1', port: 8080 })
  t.equal(config['timeouts.connect'], 10_000)
  t.equal(config['limits.body'], 100 * 1024 ** 2)
  t.equal(config['upstream.allow_private'], true)
  t.equal(config['database.url'], undefined)
  t.same(new Set(Object.values(origin)), new Set(['default']))
})

t.test('the data folder follows the service manager, root, XDG and the home folder, in that order', async t => {
  const cases: [NodeJS.ProcessEnv, number, string][] = [
    [{ STATE_DIRECTORY: '/var/lib/a:/var/lib/b', XDG_DATA_HOME: '/x' }, 0, '/var/lib/a'],
    [{ XDG_DATA_HOME: '/x' }, 0, '/var/lib/gw'],
    [{ XDG_DATA_HOME: '/x' }, 1000, '/x/gw'],
    [{ XDG_DATA_HOME: 'x' }, 1000, '/home/op/.local/share/gw'],
    [{}, 1000, '/home/op/.local/share/gw'],
    [{ GW_DATA_DIR: '/srv/gw' }, 1000, '/srv/gw'],
  ]
  for (const [env, uid, folder] of cases) {
    const { config } = load(t, '', { env, uid })
    t.equal(config.data_dir, folder)
    t.equal(config['control.socket'], `${folder}/gw.sock`)
    t.equal(config['secret.key_file'], `${folder}/secret.key`)
  }
})

t.test('what can be written, and what it means', async t => {
  const cases: [string, SettingKey, unknown][] = [
    ['listen: "[::1]:80"', 'listen', { host: '::1', port: 80 }],
    ['listen: fd:3', 'listen', { fd: 3 }],
    ['listen: gateway.local:65535', 'listen', { host: 'gateway.local', port: 65535 }],
    ['ops: { listen: off }', 'ops.listen', 'off'],
    ['timeouts:\n  idle: 1h30m', 'timeouts.idle', 5_400_000],
    ['queue.wait: 0s', 'queue.wait', 0],
    ['limits: {body: 1 gb}', 'limits.body', 1024 ** 3],
    ['database.url: postgres://gw@/gw?host=/run/postgresql', 'database.url', 'postgres://gw@/gw?host=/run/postgresql'],
    ['redis.url: rediss://:s3cret@cache:6380/1', 'redis.url', 'rediss://:s3cret@cache:6380/1'],
    ['log: {level: warn}', 'log.level', 'warn'],
    ['upstream.allow_private: false', 'upstream.allow_private', false],
    ['ops.token: 0755', 'ops.token', '0755'],
    ['keys.prefix: "team-"', 'keys.prefix', 'team-'],
    ['database.pool_size: &n 7\nqueue.seats: *n', 'queue.seats', 7],
  ]
  for (const [yaml, key, value] of cases) t.strictSame(load(t, yaml).config[key], value, yaml)

  const key = 'secret.key_file'
  t.equal(load(t, 'secret.key_file: ../k').config[key], join(t.testdirName, '../k'), 'relative to the file')
  const { config } = load(t, '', { env: { GW_SECRET_KEY_FILE: 'k' } })
  t.equal(config[key], join(process.cwd(), 'k'), 'relative to the working directory')
})

t.test('a mistake in the file is named with its place and its remedy', async t => {
  const write = 'write host:port, for example 127.0.0.1:8080'
  const cases: [string, ...string[]][] = [
    ['\n\n\nlisten: 127.0.0.1:80a', `gw.yaml:4:9 listen: the port must be 1–65535, got "80a"; ${write}`],
    ['listen: h:65536', `gw.yaml:1:9 listen: the port must be 1–65535, got "65536"; ${write}`],
    [
      'listen: 8080',
      'gw.yaml:1:9 listen: a port alone does not say who may connect, got "8080"; ' +
        'write 127.0.0.1:8080 for this machine only, 0.0.0.0:8080 for every network',
    ],
    ['listen: localhost', `gw.yaml:1:9 listen: the port is missing, got "localhost"; ${write}`],
    [
      'listen: 10.0.0.256:80',
      `gw.yaml:1:9 listen: the host must be an IP address or a name, got "10.0.0.256"; ${write}`,
    ],
    ['listen: http://a:80', `gw.yaml:1:9 listen: an address has no scheme, got "http://a:80"; ${write}`],
    ['listen: fd:1', 'gw.yaml:1:9 listen: passed sockets are numbered from 3, got "fd:1"; write for example fd:3'],
    [
      'listen: ::1:80',
      'gw.yaml:1:9 listen: an IPv6 address needs brackets and a port, got "::1:80"; write for example "[::1]:8080"',
    ],
    [
      'ops.listen: no',
      `gw.yaml:1:13 ops.listen: the port is missing, got "no"; ${write.replace('8080', '9464')}, or off`,
    ],
    ['workers: 1e3', 'gw.yaml:1:10 workers: must be a whole number 1–64 in plain digits, got "1e3"'],
    ['workers: 0', 'gw.yaml:1:10 workers: must be 1–64, got 0'],
    [
      'database: {pool_size: 0755}',
      'gw.yaml:1:23 database.pool_size: must be a whole number 4–1000 in plain digits, got "0755"',
    ],
    [
      'drain_timeout: 600',
      'gw.yaml:1:16 drain_timeout: a duration needs a unit (ms, s, m, h or d), got "600"; write for example 90s or 15m',
    ],
    ['queue.ping_interval: 500ms', 'gw.yaml:1:22 queue.ping_interval: must be 1s–24d, got "500ms"'],
    ['timeouts.idle: 30d', 'gw.yaml:1:16 timeouts.idle: must be 1ms–24d, got "30d"'],
    [
      'limits.body: 100m',
      'gw.yaml:1:14 limits.body: a size needs a whole number with a unit (B, KB, MB or GB), got "100m"; ' +
        'write for example 32KB or 100MB',
    ],
    [
      'log.level: inof',
      'gw.yaml:1:12 log.level: must be one of trace debug info warn error, got "inof"; did you mean "info"?',
    ],
    ['upstream.allow_private: on', 'gw.yaml:1:25 upstream.allow_private: must be true or false, got "on"'],
    ['keys.prefix: "sk "', 'gw.yaml:1:14 keys.prefix: must be 1 to 32 letters, digits, _ or -, got "sk "'],
    ['data_dir: ~/gw', 'gw.yaml:1:11 data_dir: ~ and $ are not expanded in paths, got "~/gw"; write the path in full'],
    ['data_dir: "a\\0b"', 'gw.yaml:1:11 data_dir: must be one line of plain text'],
    ['listen: [a:1, b:2]', 'gw.yaml:1:9 listen: takes one value, got a list'],
    ['listen: {host: a}', 'gw.yaml:1:1 listen: takes a value, got a map'],
    ['log:\n  format:', 'gw.yaml:2:10 log.format: has no value; give it one or delete the line'],
    ['log.format: ~', 'gw.yaml:1:13 log.format: has no value; give it one or delete the line'],
    ['log:', 'gw.yaml:1:1 log: has nothing below it; delete the line'],
    ['log: debug', 'gw.yaml:1:1 log: is a section; write a setting below it, such as log.level'],
    ['log.level: *x', 'gw.yaml:1:1 log.level: refers to an anchor that is not defined'],
    ['lisen: a:1', 'gw.yaml:1:1 lisen: is not a setting; did you mean "listen"?'],
    ['log: {level: info, fromat: json}', 'gw.yaml:1:20 log.fromat: is not a setting; did you mean "log.format"?'],
    ['timeout: {idle: 1s}', 'gw.yaml:1:1 timeout: is not a setting; did you mean "timeouts"?'],
    ['pool_size: 3', 'gw.yaml:1:1 pool_size: is not a setting; did you mean "database.pool_size"?'],
    ['__proto__: 1', 'gw.yaml:1:1 __proto__: is not a setting; gw config schema lists them all'],
    ['[listen]: 1', 'gw.yaml:1:1 a key must be a plain word'],
    ['log: {level: info}\nlog.level: warn', 'gw.yaml:2:1 log.level: is set twice, first at gw.yaml:1:7; keep one'],
    ['- listen', 'gw.yaml:1:1 a configuration is lines of the form "key: value"'],
    ['workers: 1\n\tlisten: a:1', 'gw.yaml:2:1 is not valid YAML: Tabs are not allowed as indentation'],
    [
      'listen: [::1]:80',
      'gw.yaml:1:14 is not valid YAML: Unexpected scalar at node end; an IPv6 address needs quotes: "[::1]:80"',
    ],
    ['ops.token: !vault x', 'gw.yaml:1:12 is not valid YAML: Unresolved tag: !vault'],
    [
      'redis.url: redis://cache:6379\nworkers: 2',
      'gw.yaml:2:10 workers: as yet gw serves with one process, got 2; leave it at 1, and for each one more run another gw serve with its own data_dir, listen and ops.listen, and the same database.url, redis.url and secret.key_file',
    ],
    [
      'ops.listen: "[::]:9464"',
      'gw.yaml:1:13 ops.listen: [::]:9464 is not loopback, so ops.token is required; set it, or listen on 127.0.0.1:9464',
    ],
    [
      `data_dir: /${'d'.repeat(92)}`,
      'gw.yaml:1:11 data_dir: the path of a unix socket must be shorter than 100 characters, ' +
        `got /${'d'.repeat(92)}/gw.sock; set control.socket`,
    ],
    // Everything at once, in the order of the file; what was mistyped is not also called missing.
    [
      'ops.listen: "[::]:9464"\nops.token:\nredis.url: cache:6379\nlisen: a:1\nqueue: {seats: many}',
      'gw.yaml:2:11 ops.token: has no value; give it one or delete the line',
      'gw.yaml:3:12 redis.url: must start with redis:// or rediss:// or unix://; write for example redis://127.0.0.1:6379/0',
      'gw.yaml:4:1 lisen: is not a setting; did you mean "listen"?',
      'gw.yaml:5:16 queue.seats: must be a whole number 0–100000 in plain digits, got "many"',
    ],
  ]
  for (const [yaml, ...expected] of cases) t.same(problems(t, yaml), expected, yaml)
})

t.test('mistakes in the environment and in flags are named by the word that was typed', async t => {
  const env = { GW_WORKERS: 'two', GW_LOGLEVEL: 'debug', GW_OPS_TOKEN: '', GW_CONFIG: 'x' }
  const others = { GW_NODE: '/n', GW_KEY: 'k', GW_TEST_X: '1' }
  t.same(problems(t, 'listen: a', { env: { ...env, ...others }, flags: { data_dir: '', listen: 'b' } }), [
    'gw.yaml:1:9 listen: the port is missing, got "a"; write host:port, for example 127.0.0.1:8080',
    'GW_WORKERS: must be a whole number 1–64 in plain digits, got "two"',
    'GW_OPS_TOKEN: has no value; give it one or unset it',
    'GW_CONFIG: is not a setting; gw config schema lists them all',
    'GW_LOGLEVEL: is not a setting; did you mean "GW_LOG_LEVEL"?',
    '--listen: the port is missing, got "b"; write host:port, for example 127.0.0.1:8080',
    '--data-dir: has no value; give it one or leave it out',
  ])
  const service = { GW_SERVICE_HOST: '10.0.0.1', GW_PORT_8080_TCP_ADDR: '10.0.0.1', GW_PORT: 'tcp://10.0.0.1:8080' }
  t.equal(problems(t, '', { env: service }).length, 3)
  t.same(problems(t, '', { env: { ...service, KUBERNETES_SERVICE_HOST: '10.0.0.2' } }), [], 'a Service named gw')
})

t.test('a flag beats the environment, which beats the file, which beats the default', async t => {
  const yaml = 'log.level: warn\nlog.format: json\nqueue.seats: 1\nredis: {url: "redis://file"}'
  const env = {
    GW_LOG_LEVEL: 'error',
    GW_LOG_FORMAT: 'pretty',
    DATABASE_URL: 'postgres://a/b',
    GW_REDIS_URL: 'redis://ours',
    REDIS_URL: 'not ours to judge',
  }
  const { config, origin, file } = load(t, yaml, {
    env,
    flags: { 'log.level': 'trace' },
  })
  t.match(config, { 'log.level': 'trace', 'log.format': 'pretty', 'queue.seats': 1, 'queue.wait': 30_000 })
  t.match(config, { 'database.url': 'postgres://a/b', 'redis.url': 'redis://ours' })
  t.match(origin, {
    'log.level': 'flag --log-level',
    'log.format': 'env GW_LOG_FORMAT',
    'queue.seats': `${file}:3:14`,
    'queue.wait': 'default',
    'database.url': 'env DATABASE_URL',
    'redis.url': 'env GW_REDIS_URL',
  })
})

t.test('the file is the one named, else the first that exists', async t => {
  const dir = t.testdir({ unit: { 'gw.yaml': 'workers: 1' }, xdg: { gw: { 'gw.yaml': 'queue.seats: 7' } } })
  const env = { ...home, CONFIGURATION_DIRECTORY: `${dir}/none:${dir}/unit`, XDG_CONFIG_HOME: `${dir}/xdg` }
  t.equal(loadConfig({ env }).file, `${dir}/unit/gw.yaml`)
  t.equal(loadConfig({ env: { ...env, CONFIGURATION_DIRECTORY: '' } }).config['queue.seats'], 7)
  t.equal(loadConfig({ env: home }).file, undefined, 'none at all is fine')
  const missing = () => loadConfig({ file: join(dir, 'typo.yaml'), env: { ...home, GW_WORKERS: '2' } })
  const unreadable = () => loadConfig({ file: dir, env: home })
  const tail = 'name another file with --config'
  t.same(refused(t, missing), [`typo.yaml: cannot be read: no such file or directory; ${tail}`])
  t.same(refused(t, unreadable), [`${dir}: cannot be read: illegal operation on a directory; ${tail}`])
  const unit = { ...env, CONFIGURATION_DIRECTORY: t.testdir({ 'gw.yaml': {} }) }
  t.match(refused(t, () => loadConfig({ env: unit }))[0], /^gw.yaml: cannot be read: illegal op/, 'one in the way')
})

t.test('secrets are neither shown nor quoted in errors', async t => {
  t.equal(shown('ops.token', 's3cret'), '***')
  t.equal(
    shown('database.url', 'postgres://gw:s3@cret@db/gw?sslpassword=s3cret'),
    'postgres://gw:***@db/gw?sslpassword=***',
  )
  t.equal(shown('redis.url', 'redis://:s3cret@cache/0'), 'redis://:***@cache/0')
  t.equal(shown('database.url', undefined), 'none')
  t.equal(shown('ops.listen', { host: '::1', port: 80 }), '[::1]:80')
  t.equal(shown('drain_timeout', 600_000), '10m')
  const bad = ['ops.token: s3cret word', 'database.url: "gw:s3cret@db"', 'redis.url: "redis://u:s3cret#@h:1:2"']
  t.equal(problems(t, bad.join('\n')).filter(line => !line.includes('s3cret')).length, 3)
})

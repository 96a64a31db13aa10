// The shape of the house: who may import whom, no cycles, third-party names behind their fences, and files of one concern.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { settingKeys } from '../src/config/schema.ts'
import { callsOf } from './helpers/calls.ts'

const root = path.join(import.meta.dirname, '../src')

// docs/architecture.md §3, read as: a folder may import those named here, itself, and lib.
const mayImport: Record<string, readonly string[]> = {
  cli: [
    'core',
    'db',
    'config',
    'platform',
    'control/client',
    'control/view',
    'control/watch',
    'dialect',
    'mock',
    'egress',
    'daemon lazily',
    'tui lazily',
  ],
  daemon: ['gateway', 'ops', 'control', 'platform', 'core', 'dialect', 'store', 'db', 'mock', 'egress', 'config'],
  tui: ['control'],
  gateway: ['platform', 'core', 'dialect', 'store', 'db', 'egress', 'config'],
  ops: ['core', 'dialect', 'store', 'db', 'config'],
  control: ['core', 'config'],
  platform: ['core', 'dialect', 'db', 'egress'],
  core: ['db', 'dialect', 'store', 'egress'],
  dialect: ['config'],
  store: ['config'],
  db: ['config'],
  mock: ['config'],
  egress: [],
  config: [],
  lib: [],
}

// What the corridor may know of languages and vendors: their faces, never one of them. Matched by the path in src/.
const faces = [/^dialect\/(middle\/)?[^/]+$/, /^platform\/(platform|verdict|table)\.ts$/]

// A third-party name, and the only folders that may say it.
const fences: Record<string, readonly string[]> = {
  pg: ['db', 'core'],
  kysely: ['db', 'core'],
  ioredis: ['store/redis'],
  ink: ['tui'],
  react: ['tui'],
  commander: ['cli'],
  'string-width': ['lib'],
  'http-proxy-3': ['gateway'],
  pino: ['lib', 'gateway', 'daemon'],
  yaml: ['config', 'cli', 'core/alert'],
  'node:http': ['gateway', 'ops', 'control', 'mock', 'platform', 'daemon', 'egress', 'cli/login'],
  'node:https': ['gateway', 'ops', 'control', 'mock', 'egress'],
  socks: ['egress'],
  'node:sqlite': ['daemon'],
  '@datadog/sketches-js': ['core/watch'],
  ws: ['ops', 'control'],
  nodemailer: ['core/notify'],
  'prom-client': ['ops'],
  '@opentelemetry/api': ['ops/otel'],
  '@opentelemetry/core': ['ops/otel'],
  '@opentelemetry/exporter-metrics-otlp-http': ['ops/otel'],
  '@opentelemetry/exporter-trace-otlp-http': ['ops/otel'],
  '@opentelemetry/resources': ['ops/otel'],
  '@opentelemetry/sdk-metrics': ['ops/otel'],
  '@opentelemetry/sdk-trace': ['ops/otel'],
}

interface Import {
  from: string
  to: string
  lazy: boolean
  typeOnly: boolean
}

const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter(f => f.endsWith('.ts'))
  .sort()
const imports: Import[] = files.flatMap(file => {
  const text = readFileSync(path.join(root, file), 'utf8')
  const found: Import[] = []
  for (const [, kind, to] of text.matchAll(/^(?:import|export)\s+(type\s)?[^'"]*?from\s+'([^']+)'/gm))
    found.push({ from: file, to: to!, lazy: false, typeOnly: kind !== undefined })
  for (const [, to] of text.matchAll(/^import\s+'([^']+)'/gm))
    found.push({ from: file, to: to!, lazy: false, typeOnly: false })
  for (const [, to] of text.matchAll(/\bimport\('([^']+)'\)/g))
    found.push({ from: file, to: to!, lazy: true, typeOnly: false })
  return found
})
const ours = (i: Import) => path.relative(root, path.resolve(root, path.dirname(i.from), i.to))
const folder = (file: string) => file.split('/')[0]!

t.test('imports go down, never sideways, never up', async t => {
  t.ok(files.length > 50, 'the sources were found')
  for (const i of imports.filter(i => i.to.startsWith('.'))) {
    const to = ours(i)
    if (to.startsWith('..') || folder(to) === folder(i.from) || folder(to) === 'lib') continue
    const allowed = (mayImport[folder(i.from)] ?? []).some(
      a =>
        a === folder(to) ||
        `${a}.ts` === to ||
        (i.lazy && a === `${folder(to)} lazily`) ||
        (i.typeOnly && a === `${folder(to)} lazily`),
    )
    if (!allowed) t.fail(`${i.from} imports ${to}`)
  }
  for (const name of new Set(files.map(folder))) t.ok(name in mayImport, `src/${name} has its floor`)
})

t.test('the corridor knows no language and no vendor', async t => {
  const known = imports
    .filter(
      i => i.to.startsWith('.') && folder(i.from) === 'gateway' && ['dialect', 'platform'].includes(folder(ours(i))),
    )
    .map(i => [i.from, ours(i)] as const)
  t.ok(known.length > 10, 'it knows their faces')
  for (const [from, to] of known) if (!faces.some(face => face.test(to))) t.fail(`${from} imports ${to}`)
})

t.test('no cycles, of types neither', async t => {
  const graph = new Map<string, Set<string>>(files.map(file => [file, new Set()]))
  // What is loaded later, when it is asked for, is a way round and not a knot.
  for (const i of imports.filter(i => i.to.startsWith('.') && !i.lazy)) graph.get(i.from)!.add(ours(i))
  const reach = (from: string) => {
    const found = new Set<string>()
    const walk = (file: string): void => {
      for (const next of graph.get(file) ?? [])
        if (!found.has(next)) {
          found.add(next)
          walk(next)
        }
    }
    walk(from)
    return found
  }
  const reached = new Map(files.map(file => [file, reach(file)]))
  const knotted = files.filter(file => reached.get(file)!.has(file))
  for (const file of knotted)
    t.fail(`${file} ⇄ ${[...graph.get(file)!].filter(to => reached.get(to)?.has(file)).join(', ')}`)
  t.ok(reached.get('cli/main.ts')!.size > 5, 'imports were found')
})

t.test('third-party names stay behind their fences', async t => {
  const dependencies = Object.keys(
    (JSON.parse(readFileSync(path.join(root, '../package.json'), 'utf8')) as { dependencies: object }).dependencies,
  )
  const used = new Set<string>()
  for (const i of imports.filter(i => !i.to.startsWith('.'))) {
    const name = i.to.startsWith('node:') || i.to.startsWith('@') ? i.to : i.to.split('/')[0]!
    used.add(name)
    const fence = fences[name]
    if (fence && !fence.some(f => i.from.startsWith(`${f}/`)))
      t.fail(`${i.from} imports ${name}, which belongs to ${fence.join(', ')}`)
  }
  for (const name of dependencies)
    t.ok(used.has(name) || name === 'pino-pretty', `${name} is a dependency because something imports it`)
})

const LONG = 400

t.test('every setting is read by somebody', async t => {
  const sources = files
    .filter(file => folder(file) !== 'config')
    .map(file => readFileSync(path.join(root, file), 'utf8'))
    .join('\n')
  const read = (key: string) =>
    sources.includes(`['${key}']`) || new RegExp(`\\b(config|loaded\\.config)\\.${key}\\b`).test(sources)
  t.strictSame(
    settingKeys.filter(key => !read(key)),
    [],
    'no setting is read by nobody',
  )
})

t.test('files can be read in one sitting', async t => {
  for (const file of files) {
    const text = readFileSync(path.join(root, file), 'utf8')
    const [first = ''] = text.split('\n')
    t.match(first, /^\/\/ \S/, `${file} begins with what it is`)
    if (text.split('\n').length > LONG) {
      t.match(first, /\blong, because( \S+){3}/i, `${file} is over ${LONG} lines and its first line says why`)
      t.strictSame(concerns(text).slice(1), [], `${file} is about one thing`)
    }
    t.notMatch(file, /(^|\/)(utils?|helpers?|index)\.ts$/, `${file} has a name of its own`)
  }
})

t.test('a file of two concerns is known by its parts, which do not know each other', async t => {
  const part = (name: string, uses: string) =>
    `function ${name}() {\n${Array.from({ length: 60 }, () => `  ${uses}()`).join('\n')}\n}\n`
  const one = part('read', 'parse') + part('parse', 'cut') + part('cut', 'other')
  t.equal(concerns(one).length, 1)
  const two = one + part('write', 'render') + part('render', 'other')
  t.strictSame(concerns(two), [
    ['read', 'parse', 'cut'],
    ['write', 'render'],
  ])
})

/** What a file declares, in groups that use nothing of each other; what is small goes with anybody. */
function concerns(text: string): string[][] {
  const head = /^(?=(?:export )?(?:async )?(?:abstract )?(?:function\*?|class|interface|type|const|let) \w)/m
  const named = text.split(head).flatMap(part => {
    const name = /^[\w* ]*?\b(?:function\*?|class|interface|type|const|let) (\w+)/.exec(part)?.[1]
    return name === undefined ? [] : [{ name, part }]
  })
  const groups = new Map(named.map(({ name }) => [name, new Set([name])]))
  for (const a of named)
    for (const b of named) {
      const [mine, others] = [groups.get(a.name)!, groups.get(b.name)!]
      if (mine === others || !new RegExp(`\\b${b.name}\\b`).test(a.part)) continue
      for (const name of others) groups.set(name, mine.add(name))
    }
  const lines = (group: Set<string>) =>
    named.filter(({ name }) => group.has(name)).reduce((sum, { part }) => sum + part.split('\n').length, 0)
  return [...new Set(groups.values())].filter(group => lines(group) >= 100).map(group => [...group])
}

t.test('no test matches a list by what it contains', async t => {
  const tests = path.join(root, '../test')
  for (const name of readdirSync(tests, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts')) continue
    for (const { line, lists } of callsOf(readFileSync(path.join(tests, name), 'utf8'), 't.match'))
      if (lists[1])
        t.fail(
          `test/${name}:${line}: t.match passes when a list has more than its pattern; use matchAll or t.strictSame`,
        )
  }
  const refused = (source: string) => callsOf(source, 't.match').map(call => call.lists[1] ?? false)
  for (const list of ['[1]', '{ a: [String] }', '{ a: { b: f([x]) } }', 'x || [/]/]', '[\n]', 'await [1]'])
    t.strictSame(refused(`t.match(f(a[0], [9]), ${list}, 'why')`), [true], list)
  for (const none of ['/[a-z]/', "'[1]'", 'a[0]', 'f()[0]', '{ a: /[[]/, b: "[" }', '`[`', 'a! [0]', '/* [ */ b'])
    t.strictSame(refused(`t.match([1], ${none})`), [false], none)
})

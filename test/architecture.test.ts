// The shape of the house: who may import whom, no cycles, and third-party names behind their fences.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'

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
    'dialect',
    'mock',
    'daemon lazily',
    'tui lazily',
  ],
  daemon: ['gateway', 'ops', 'control', 'platform', 'core', 'dialect', 'store', 'db', 'mock', 'config'],
  tui: ['control'],
  gateway: ['platform', 'core', 'dialect', 'store', 'db', 'config'],
  ops: ['core', 'dialect', 'store', 'db', 'config'],
  control: ['core', 'config'],
  platform: ['core', 'dialect', 'db'],
  core: ['db', 'dialect', 'store'],
  dialect: ['config'],
  store: ['config'],
  db: ['config'],
  mock: ['config'],
  config: [],
  lib: [],
}

// A third-party name, and the only folders that may say it.
const fences: Record<string, readonly string[]> = {
  pg: ['db', 'core'],
  kysely: ['db', 'core'],
  ioredis: ['store/redis'],
  ink: ['tui'],
  react: ['tui'],
  commander: ['cli'],
  'http-proxy-3': ['gateway'],
  pino: ['lib', 'gateway', 'daemon'],
  'prom-client': ['ops'],
  yaml: ['config'],
  'node:http': ['gateway', 'ops', 'control', 'mock', 'platform', 'daemon'],
  'node:https': ['gateway', 'ops', 'control', 'mock'],
  'node:sqlite': ['daemon'],
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

t.test('no cycles', async t => {
  const graph = new Map<string, string[]>()
  for (const i of imports.filter(i => i.to.startsWith('.') && !i.lazy && !i.typeOnly))
    graph.set(i.from, [...(graph.get(i.from) ?? []), ours(i)])
  const done = new Set<string>()
  const walk = (file: string, trail: string[]): void => {
    if (trail.includes(file)) return void t.fail([...trail.slice(trail.indexOf(file)), file].join(' → '))
    if (done.has(file)) return
    for (const next of graph.get(file) ?? []) walk(next, [...trail, file])
    done.add(file)
  }
  for (const file of files) walk(file, [])
  t.ok(done.size > 50)
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

t.test('files can be read in one sitting', async t => {
  for (const file of files) {
    const text = readFileSync(path.join(root, file), 'utf8')
    const [first = ''] = text.split('\n')
    t.match(first, /^\/\/ \S/, `${file} begins with what it is`)
    if (text.split('\n').length > 400) t.match(first, /because|long/, `${file} is over 400 lines and says why`)
    t.notMatch(file, /(^|\/)(utils?|helpers?|index)\.ts$/, `${file} has a name of its own`)
  }
})

// Plain JavaScript, so that even an old node reaches the message below.
const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  console.error(`gw: needs Node.js 24 or newer, but ${process.execPath} is ${process.version}`)
  process.exit(1)
}
const [{ default: module }, { default: os }, { default: path }, { default: fs }] = await Promise.all([
  import('node:module'),
  import('node:os'),
  import('node:path'),
  import('node:fs'),
])
module.enableCompileCache(
  path.join(process.env.XDG_CACHE_HOME || process.env.CACHE_DIRECTORY || path.join(os.homedir(), '.cache'), 'gw'),
)
// Node finds a module by looking at every folder of its path and for a package.json in each. Of a relative import within
// our sources or kysely (250 files) the address and the format are plain: a third of the time that a command takes.
const ours = new URL('..', import.meta.url).href
const plain = parent =>
  parent !== undefined &&
  ((parent.startsWith(ours) && !parent.startsWith(`${ours}node_modules/`)) ||
    parent.includes('/node_modules/kysely/dist/'))
module.registerHooks({
  resolve(specifier, context, next) {
    if (specifier === 'node:http') withoutUndici()
    if (!/^\.\.?\/.*\.[jt]s$/.test(specifier) || !plain(context.parentURL)) return next(specifier, context)
    const format = specifier.endsWith('.ts') ? 'module-typescript' : 'module'
    return { url: new URL(specifier, context.parentURL).href, format, shortCircuit: true }
  },
})
// An import of node:http reads these getters, and with them loads undici, which nobody here has a use for.
function withoutUndici() {
  const http = process.getBuiltinModule('node:http')
  for (const name of ['WebSocket', 'CloseEvent', 'MessageEvent']) delete http[name]
}
// A clone runs its sources; an installed package has only dist. A stale dist in a clone is never run.
const src = new URL('../src/cli/main.ts', import.meta.url)
const { main } = await import(fs.existsSync(src) ? src.href : new URL('../dist/cli/main.js', import.meta.url).href)
process.exitCode = await main(process.argv.slice(2))

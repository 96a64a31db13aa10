// How the modules of gw are found and loaded quickly: for gw itself (start.mjs) and for its tests (.taprc).
import module from 'node:module'
import os from 'node:os'
import path from 'node:path'

module.enableCompileCache(
  path.join(process.env.XDG_CACHE_HOME || process.env.CACHE_DIRECTORY || path.join(os.homedir(), '.cache'), 'gw'),
)
// Node finds a module by looking at every folder of its path and for a package.json in each. Of a relative import within
// our sources, kysely (250 files) or tap the address and the format are plain: a third of the time that a command takes.
const ours = new URL('..', import.meta.url).href
const plain = parent =>
  parent !== undefined &&
  ((parent.startsWith(ours) && !parent.startsWith(`${ours}node_modules/`)) ||
    /\/node_modules\/(kysely\/dist|(@tapjs\/\w+|tap|tap-\w+)\/(test-built\/)?dist\/esm)\//.test(parent))
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

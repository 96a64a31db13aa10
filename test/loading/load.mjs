// Before a test file, and before tap is in its process: modules load as gw's own do, and tap follows no promises.
// By way of NODE_OPTIONS (.taprc), since tap's own --import come first among arguments; a child of the test is spared it.
import module from 'node:module'
import '../../bin/load.mjs'
import './tmp.mjs'

process.env.NODE_OPTIONS = (process.env.NODE_OPTIONS ?? '')
  .replace(/"?--import=\S*test\/loading\/load\.mjs"?/, '')
  .trim()
const domain = new URL('./domain.mjs', import.meta.url).href
module.registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'async-hook-domain'
      ? { url: domain, format: 'module', shortCircuit: true }
      : next(specifier, context),
})

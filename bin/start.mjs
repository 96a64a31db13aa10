// Plain JavaScript, so that even an old node reaches the message below.
const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  console.error(`gw: needs Node.js 24 or newer, but ${process.execPath} is ${process.version}`)
  process.exit(1)
}
await import('./load.mjs')
const { existsSync } = await import('node:fs')
// A clone runs its sources; an installed package has only dist. A stale dist in a clone is never run.
const src = new URL('../src/cli/main.ts', import.meta.url)
const { main } = await import(existsSync(src) ? src.href : new URL('../dist/cli/main.js', import.meta.url).href)
process.exitCode = await main(process.argv.slice(2))
// Over is over: a connection to a server that stands still does not hold a command that is done. Whoever reads has what was said.
setInterval(() => {
  if (process.stdout.writableLength + process.stderr.writableLength === 0) process.exit()
}, 250).unref()

// `npm run bench`: what gw costs beside a bare proxy, in one run; ratios are the result, absolute numbers depend on the machine.
import { writeFileSync } from 'node:fs'
import os from 'node:os'
import { cases } from './cases.ts'
import { leave, pinned, takeCore } from './children.ts'
import { openLab } from './lab.ts'
import { help, type Options, options } from './options.ts'
import { rewrite } from './page.ts'
import { type Row, tables } from './table.ts'

const QUICK_MS = 90_000

async function main(chosen: Options) {
  const begun = performance.now()
  const rows: Row[] = []
  const notes: string[] = []
  const lab = await openLab(chosen, note => notes.push(note))
  for (const name of chosen.cases) {
    const { quickMs, run } = cases[name]!
    const leftMs = QUICK_MS * chosen.checkouts.length - (performance.now() - begun)
    if (chosen.quick && leftMs < quickMs * chosen.checkouts.length) {
      notes.push(`${name} was skipped: the time of a quick run is up.`)
      continue
    }
    console.error(`${Math.round((performance.now() - begun) / 1000)} s: ${name}`)
    rows.push(...(await run(lab)))
  }
  await lab.close()
  const text = [heading(chosen), ...tables(rows), notes.map(note => `- ${note}`).join('\n')].join('\n\n')
  console.log(text)
  if (chosen.json) writeFileSync(chosen.json, JSON.stringify({ rows, notes }, undefined, 2))
  if (chosen.write) rewrite(text)
  console.error(`${Math.round((performance.now() - begun) / 1000)} s in all`)
}

const heading = ({ rounds, sliceMs, warmMs, quick }: Options) =>
  `${new Date().toISOString().slice(0, 10)}, ${os.cpus().length} × ${os.cpus()[0]?.model}, Node ${process.versions.node}, ` +
  `${pinned ? 'gateway and its Postgres on one core, provider and load on the other' : 'nothing pinned to a core'}; ` +
  `medians of ${rounds} slices of ${sliceMs / 1000} s, warmed for at most ${warmMs / 1000} s a case${quick ? ' (a quick run)' : ''}.`

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    process.exitCode = 130
    void leave().finally(() => process.exit())
  })
try {
  const chosen = understood()
  if (chosen === 'help') console.log(help)
  else if (chosen) {
    takeCore()
    await main(chosen)
  }
} catch (error) {
  // When it was told to leave, what it was doing fails.
  if (process.exitCode !== 130) {
    console.error(error)
    process.exitCode = 1
  }
} finally {
  await leave()
}
process.exit() // whatever still waits for something waits in vain

function understood(): Options | 'help' | undefined {
  try {
    return options(process.argv.slice(2))
  } catch (error) {
    console.error(`bench: ${(error as Error).message}`)
    process.exitCode = 2
    return
  }
}

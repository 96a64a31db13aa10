// Puts the tables into docs/benchmarks.md, between its two markers.
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const file = path.join(import.meta.dirname, '../../docs/benchmarks.md')
const [begin, end] = ['<!-- bench: what follows is written by `npm run bench -- --write` -->', '<!-- bench: end -->']

/** @throws Error when the page has lost its markers */
export function rewrite(text: string): void {
  const page = readFileSync(file, 'utf8')
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`${file} must have the lines "${begin}" and "${end}"`)
  writeFileSync(file, `${page.slice(0, from + begin.length)}\n\n${text}\n\n${page.slice(to)}`)
}

// The price file that gw ships, and files that somebody wrote like it (docs/prices.md).
import { readFileSync } from 'node:fs'
import { decimal, type Finding, isObject, type Reading, readRow } from './read.ts'
import type { PriceRow } from './row.ts'

/** Whether this is a file of gw's own format, `{"format": 1, "prices": [rows]}`. */
export function isPriceFile(json: unknown): json is { format: 1; prices: unknown[] } {
  return isObject(json) && json['format'] === 1 && Array.isArray(json['prices'])
}

/** Its rows; one that does not say since when it holds gets `from` (Unix ms). */
export function readPriceFile(
  file: { prices: unknown[] },
  source: { layer: PriceRow['layer']; from?: number | undefined },
): Reading {
  const findings: Finding[] = []
  const rows = file.prices.flatMap((fields, n) => {
    if (isObject(fields)) return readRow(fields, decimal, source, findings)
    const text = `is no price: ${JSON.stringify(fields)}; write {"model": …, "input": …, "output": …}`
    findings.push({ model: '', from: null, field: `prices[${n}]`, level: 'error', text })
    return []
  })
  return { rows, findings }
}

/** The rows of config/prices.json. @throws when it is damaged: it is ours, and nothing may be billed by half of it */
export function readShipped(): PriceRow[] {
  const path = new URL('../../../config/prices.json', import.meta.url)
  const file: unknown = JSON.parse(readFileSync(path, 'utf8'))
  if (!isPriceFile(file)) throw new Error('config/prices.json is not a price file of format 1')
  const { rows, findings } = readPriceFile(file, { layer: 'shipped' })
  const wrong = findings.find(finding => finding.level === 'error')
  if (wrong) throw new Error(`config/prices.json: ${wrong.model} ${wrong.field} ${wrong.text}`)
  return rows
}

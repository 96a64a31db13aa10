// What was found, as Markdown tables with a column for each gateway.

const order = ['A request', 'Streams, a delta every 20 ms', 'Growth', 'A process'] as const
export type Table = (typeof order)[number]

export interface Row {
  /** which table it stands in */
  table: Table
  what: string
  /** by the gateway's name */
  cells: Record<string, string>
}

export function tables(rows: readonly Row[]): string[] {
  const names = order.filter(name => rows.some(({ table }) => table === name))
  return names.map(name => {
    const own = rows.filter(({ table }) => table === name)
    const columns = [...new Set(own.flatMap(({ cells }) => Object.keys(cells)))]
    const line = (cells: string[]) => `| ${cells.join(' | ')} |`
    return [
      line([name, ...columns]),
      `|${'---|'.repeat(columns.length + 1)}`,
      ...own.map(({ what, cells }) => line([what, ...columns.map(column => cells[column] ?? '')])),
    ].join('\n')
  })
}

/** As many digits as a measurement is worth. */
export const digits = (value: number) =>
  !Number.isFinite(value) ? '–' : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)

export const times = (ratio: number) => `${digits(ratio)} ×`
export const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`

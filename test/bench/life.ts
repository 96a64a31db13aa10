// Cases of a process: its memory before, under and after load, and how long an operator waits for it.
import { setTimeout as sleep } from 'node:timers/promises'
import { json } from './answers.ts'
import { target } from './compare.ts'
import type { Lab } from './lab.ts'
import { median } from './median.ts'
import { slice } from './sandwich.ts'
import { digits, mb, type Row, type Table } from './table.ts'

const table: Table = 'A process'
const AFTER_MS = 60_000

/** In a fresh process of each checkout; the minute of rest is spent by all of them at once, and not in a quick run. */
export async function memory(lab: Lab): Promise<Row[]> {
  const { quick, sliceMs } = lab.options
  const [idle, loaded, after]: Record<string, string>[] = [{}, {}, {}]
  for (const site of lab.small) {
    await site.down()
    await site.up()
    await sleep(1_000)
    idle![site.name] = mb(site.used().rssBytes)
  }
  for (const gate of [lab.bare, ...lab.small]) {
    const shape = { connections: 16, expected: json }
    const { peakBytes } = await slice(target(gate, 'json'), shape, quick ? 3 * sliceMs : 5 * sliceMs)
    loaded![gate.name] = mb(peakBytes)
  }
  const rows = [
    { table, what: '**RSS** idle', cells: idle! },
    { table, what: 'RSS under load, JSON 1 KB, c 16', cells: loaded! },
  ]
  if (quick) return rows
  await sleep(AFTER_MS)
  for (const gate of [lab.bare, ...lab.small]) after![gate.name] = mb(gate.used().rssBytes)
  return [...rows, { table, what: 'RSS 60 s after', cells: after! }]
}

/** Medians; the first of each is not counted, as it may compile. */
export async function beginning(lab: Lab): Promise<Row[]> {
  const [start, help, list]: Record<string, string>[] = [{}, {}, {}]
  const count = lab.options.rounds + 2
  for (const site of lab.small) {
    const repeat = async (measure: () => Promise<number>) => {
      const ms = []
      for (let i = 0; i <= count; i++) ms.push(await measure())
      return digits(median(ms.slice(1)))
    }
    start![site.name] = await repeat(async () => {
      await site.down()
      return site.up()
    })
    help![site.name] = await repeat(async () => (await site.gw('--help')).ms)
    list![site.name] = await repeat(async () => (await site.gw('account list')).ms)
  }
  return [
    { table, what: '**Start** with an existing data dir until ready, ms', cells: start! },
    { table, what: '`gw --help`, ms', cells: help! },
    { table, what: '`gw account list` with a daemon, ms', cells: list! },
  ]
}

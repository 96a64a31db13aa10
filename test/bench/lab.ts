// The lab: provider, bare proxy, the checkouts with their data, and others, all made before anything is measured.
import path from 'node:path'
import { cases } from './cases.ts'
import { said, start, stop } from './children.ts'
import type { Options } from './options.ts'
import { type Gate, startOthers } from './others.ts'
import { use } from './proc.ts'
import { type Site, type Size, site } from './site.ts'

export interface Lab {
  options: Options
  /** the provider itself, without a gateway */
  direct: Gate
  bare: Gate
  /** nginx, HAProxy */
  others: Gate[]
  /** every checkout with 10 accounts and 10 keys */
  small: Site[]
  /** the same, and as many more of each as were asked for, in an order that favours none */
  alike: Site[]
  /** every checkout with 5 000 accounts and 50 000 keys */
  large: Site[]
  note(text: string): void
  close(): Promise<void>
}

const SMALL: Size = { accounts: 10, keys: 10 }
export const LARGE: Size = { accounts: 5_000, keys: 50_000 }

export async function openLab(options: Options, note: (text: string) => void): Promise<Lab> {
  const script = (name: string, core: 'gateway' | 'load', ...args: string[]) =>
    start(name, core, [process.execPath, '--trace-gc', path.join(import.meta.dirname, `${name}.ts`), ...args])
  const provider = script('provider', 'load')
  const upstream = (await said(provider, /http:\S+/))[0]
  const bare = script('bare-proxy', 'gateway', upstream)
  const gate = (name: string, url: string, { pid, log }: typeof bare): Gate => ({
    name,
    port: Number(new URL(url).port),
    keys: ['sk-any'],
    log,
    used: () => use(pid),
  })
  const direct = gate('direct', upstream, provider)
  const needs = new Set(options.cases.map(name => cases[name]!.needs))
  const others = options.others && needs.has('others') ? await startOthers(direct.port, note) : []
  const made = (size: Size, suffix: string) =>
    Promise.all(options.checkouts.map(({ name, dir }) => site(name, `${name}${suffix}`, dir, upstream, size)))
  const [small, large] = await Promise.all([made(SMALL, ''), needs.has('large') ? made(LARGE, '-large') : []])
  const alike = [...small]
  for (let n = 2; n <= options.processes; n++) {
    const more = await made(SMALL, `-${n}`)
    alike.push(...(n % 2 === 0 ? more.toReversed() : more))
  }
  return {
    options,
    direct,
    bare: gate('bare', (await said(bare, /http:\S+/))[0], bare),
    others: others.map(({ gate }) => gate),
    small,
    alike,
    large,
    note,
    async close() {
      await Promise.all([...alike, ...large].map(site => site.down()))
      await Promise.all([provider, bare, ...others.map(({ started }) => started)].map(stop))
    },
  }
}

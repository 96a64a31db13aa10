// A gateway that reads a gw.yaml again when it is told to, and the commands that find it.
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import pino from 'pino'
import type { Test } from 'tap'
import { type Home, home } from '../cli/gw.ts'
import { gateway, type Setup, type TestGateway } from './gateway.ts'

export interface Reloadable {
  gw: TestGateway
  cli: Home
  /** what was logged, as JSON lines */
  lines: string[]
  configure(yaml: string): Promise<string>
  file(name: string, text: string): Promise<string>
}

/** A gateway that reads the gw.yaml of a home, so that the commands of that home find it. */
export async function reloadable(
  t: Test,
  yaml: string,
  setup: Setup & { before?(config: { data_dir: string }): Promise<unknown> } = {},
): Promise<Reloadable> {
  const cli = await home(t)
  await mkdir(cli.dataDir)
  const configure = (text: string) => cli.file('config/gw.yaml', text)
  await configure(yaml)
  await setup.before?.({ data_dir: cli.dataDir })
  const lines: string[] = []
  const gw = await gateway(t, {
    ...setup,
    read: { env: cli.env },
    config: { data_dir: cli.dataDir, 'control.socket': path.join(cli.dataDir, 'gw.sock'), ...setup.config },
    log: pino({ level: 'info', base: null, timestamp: false }, { write: line => void lines.push(line) }),
  })
  return { gw, cli, lines, configure, file: cli.file }
}

// gw logs: the lines of a running daemon, or of a file, as far as they are what is looked for.

import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'
import type { ControlClient } from '../../control/client.ts'
import type { LogsAsked, LogsView } from '../../control/view.ts'
import { Refusal } from '../../lib/refusal.ts'
import { why } from '../../lib/why.ts'
import type { Invocation } from '../command.ts'
import { daemon } from '../live.ts'
import { type Line, parseWhere, type Where } from './where.ts'

export interface LogsOptions {
  follow?: boolean
  since?: Date
  where?: string
  limit?: number
  file?: string
}

const LOOK_EVERY_MS = 500

export async function logs(
  gw: Invocation,
  { follow = false, since, where = '', limit, file }: LogsOptions,
): Promise<void> {
  const wanted = parseWhere(where)
  const { stdout } = gw.shell
  const print = (line: Line) => void stdout.write(`${gw.out.json ? JSON.stringify(line) : words(line)}\n`)
  if (file !== undefined) {
    if (follow) throw new Refusal('usage', '-f follows the daemon; for a file: tail -f FILE | gw logs --file -')
    await ofFile(gw, file, since, wanted, limit, print)
    return
  }
  const control = await daemon(gw)
  let asked: LogsAsked = { from: 0, since: since?.getTime() ?? 0 }
  const last: Line[] = []
  do {
    const { lines, next, more } = await control.post<LogsView>('/logs', asked)
    asked = { ...asked, from: next }
    for (const { at, text } of lines) {
      const line = parsed(text, at)
      if (!wanted(line)) continue
      last.push(line)
      if (limit !== undefined && last.length > limit) last.shift()
    }
    if (more) continue
    break
  } while (!stdout.destroyed)
  for (const line of last) print(line)
  if (!follow) {
    if (last.length === 0) gw.out.note('no such line; what is older than a daemon keeps is in its journal or its file')
    return
  }
  await goOn(gw, control, asked, line => wanted(line) && print(line))
}

/** Until nobody reads any more. A daemon that ends is waited for, and what the next one wrote is shown from its beginning. */
async function goOn(
  gw: Invocation,
  control: ControlClient,
  asked: LogsAsked,
  show: (line: Line) => unknown,
): Promise<void> {
  const { stdout } = gw.shell
  // Its clock is ours.
  let seen = Date.now()
  let gone = false
  while (!stdout.destroyed) {
    const answer = await control.post<LogsView>('/logs', asked).catch((error: Error) => {
      if (!(error instanceof Refusal) || error.kind !== 'unreachable') throw error
      if (!gone) gw.out.note('the daemon is gone; its log goes on here when it is back')
      gone = true
    })
    // Another daemon counts its lines anew.
    if (answer === undefined || answer.next < asked.from) {
      asked = { from: 0, since: seen }
      await pause(LOOK_EVERY_MS)
      continue
    }
    gone = false
    const { lines, next, more } = answer
    asked = { ...asked, from: next }
    for (const { at, text } of lines) {
      seen = at + 1
      show(parsed(text, at))
    }
    if (!more) await pause(LOOK_EVERY_MS)
  }
}

async function ofFile(
  gw: Invocation,
  file: string,
  since: Date | undefined,
  wanted: Where,
  limit: number | undefined,
  print: (line: Line) => void,
): Promise<void> {
  const input = file === '-' ? gw.shell.stdin : createReadStream(file)
  const broken = Promise.withResolvers<never>()
  broken.promise.catch(() => {})
  input.once('error', (error: Error) =>
    broken.reject(new Refusal('usage', `--file ${file} cannot be read: ${why(error)}`)),
  )
  const from = since?.toISOString()
  const last: Line[] = []
  const read = async () => {
    for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      const line = parsed(text)
      if (from !== undefined && String(line['time'] ?? '') < from) continue
      if (!wanted(line)) continue
      if (limit === undefined) print(line)
      else if (last.push(line) > limit) last.shift()
    }
  }
  await Promise.race([read(), broken.promise])
  for (const line of last) print(line)
}

/** A line of the log in any of its formats; what is none is a message alone. `at` where the line has no time of its own. */
export function parsed(text: string, at?: number): Line {
  const json = text.replace(/^<\d>/, '').trim()
  const time = at === undefined ? {} : { time: new Date(at).toISOString() }
  try {
    const line: unknown = JSON.parse(json)
    if (typeof line === 'object' && line !== null && !Array.isArray(line)) return { ...time, ...line }
  } catch {
    // Not one of ours: a service manager's, or what a library printed.
  }
  return { ...time, msg: json }
}

const names: Record<number, string> = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' }

/** As people read it: time, level, what it is, then the rest by name. */
function words({ time, level, msg, ...rest }: Line): string {
  const fields = Object.entries(rest).map(([name, value]) => `${name}=${shown(value)}`)
  const head = [
    String(time ?? '')
      .replace('T', ' ')
      .replace('Z', ''),
    names[Number(level)] ?? '',
    shown(msg ?? ''),
  ]
  return [...head, ...fields].filter(Boolean).join('  ')
}

function shown(value: unknown): string {
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
  return stripVTControlCharacters(text).replaceAll(/\p{Cc}/gu, '?')
}

// Everything that ends a command badly, as one line on stderr and an exit code.

import { Refusal, type RefusalKind } from '../lib/refusal.ts'
import { why, whyDatabase, whyUnreached } from '../lib/why.ts'
import type { Shell, Signal } from './shell.ts'

/** What `gw help exit-codes` lists. */
export const exits: Readonly<Record<RefusalKind, { code: number; text: string }>> = {
  failure: { code: 1, text: 'failed' },
  usage: { code: 2, text: 'the command line is wrong' },
  config: { code: 3, text: 'the configuration is invalid' },
  unreachable: { code: 4, text: 'the daemon or the database cannot be reached' },
  refused: { code: 5, text: 'refused' },
  missing: { code: 6, text: 'not found' },
  conflict: { code: 7, text: 'conflict: it exists already, or was changed meanwhile' },
  partial: { code: 8, text: 'done in part' },
}

/** A signal ended the command; 128 and its number, as shells count. */
export class Interrupted extends Error {
  readonly code: number
  constructor(signal: Signal) {
    super(`interrupted by ${signal}`)
    this.name = 'Interrupted'
    this.code = 128 + { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 }[signal]
  }
}

// Connecting: the socket's words, then Postgres' own (wrong password, no such role or database, starting, stopping, full).
const socketCodes =
  /^(ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENOTFOUND|EAI_AGAIN|EAI_NODATA|EPIPE)$/
const postgresCodes = /^(08...|28000|28P01|3D000|53300|57P0[1-5])$/

/** Tells the person at the terminal, and returns the exit code. */
export function report(error: unknown, { stderr }: Pick<Shell, 'stderr'>, options: { debug: boolean }): number {
  if (error instanceof Interrupted) return error.code
  const kind = kindOf(error)
  // Several findings in one configuration come one a line.
  const lines = error instanceof Refusal ? error.message.trim().split('\n') : [sentence(error)]
  for (const line of lines) stderr.write(`gw: ${line}\n`)
  if (options.debug && error instanceof Error) for (const stack of stacks(error)) stderr.write(`${stack}\n`)
  return exits[kind].code
}

/** What nobody put into words of ours before it came here. */
function sentence(error: unknown): string {
  const { path, severity, code, syscall } = Object(error) as NodeJS.ErrnoException & { severity?: string }
  if (severity !== undefined && code !== undefined) return `the database refused: ${whyDatabase(error)}`
  if (syscall === undefined) return why(error)
  return path === undefined ? whyUnreached(error) : `${path}: ${why(error)}`
}

function kindOf(error: unknown): RefusalKind {
  if (error instanceof Refusal) return error.kind
  const { code, syscall } = Object(error) as NodeJS.ErrnoException
  if (code === undefined) return 'failure'
  // Two transactions got in each other's way, and Postgres chose this one to yield.
  if (code === '40001' || code === '40P01') return 'conflict'
  // A file that is not there is ENOENT too; only a missing socket means that nobody listens.
  if (code === 'ENOENT' || code === 'EACCES') return syscall === 'connect' ? 'unreachable' : 'failure'
  return socketCodes.test(code) || postgresCodes.test(code) ? 'unreachable' : 'failure'
}

function stacks(error: Error): string[] {
  const own = error.stack ?? String(error)
  return error.cause instanceof Error ? [own, ...stacks(error.cause).map(stack => `caused by ${stack}`)] : [own]
}

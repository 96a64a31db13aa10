// What a command sees of whoever calls it: streams, environment, folder and signals. `process` is one; a test makes its own.
import type { Readable, Writable } from 'node:stream'

export type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'

type Listener = (signal: NodeJS.Signals) => void

export interface Shell {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number }
  readonly stderr: Writable & { readonly isTTY?: boolean }
  readonly env: NodeJS.ProcessEnv
  /** Where relative paths start. */
  cwd(): string
  on(event: Signal, listener: Listener): unknown
  once(event: Signal, listener: Listener): unknown
  /** Told when nothing of the command goes on any more, however it ended. */
  once(event: 'exit', listener: () => void): unknown
  off(event: Signal, listener: Listener): unknown
  /** To all that listen here, as if the signal had come from outside. */
  emit(event: Signal, signal: Signal): boolean
  /** Ends at once, whatever is under way. */
  exit(code: number): never
}

// `gw top`: chooses between the live screen and plain frames.
import type { Writable } from 'node:stream'
import v8 from 'node:v8'
import { controlClient } from '../control/client.ts'
import { plainFrame, printFrames } from './plain.ts'
import type { View } from './press.ts'
import { signsFor } from './text.ts'

export { type View, views } from './press.ts'

export interface TopOptions {
  /** path of the daemon's control socket */
  socket: string
  /** one frame, then end */
  once: boolean
  /** `once`: one JSON document; `batch`: one object a line */
  json: boolean
  /** plain frames, one per second */
  batch: boolean
  /** how many frames with `batch`; 0: until interrupted */
  count: number
  /** Default `all`: accounts above users. */
  view?: View | undefined
  /** False turns colour off; true, the default, leaves it to the terminal and `NO_COLOR`. */
  color?: boolean | undefined
  /** where frames go; the live screen is always on this process's own, which is the default */
  terminal?: Terminal
}

export interface Terminal {
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number }
  readonly env: NodeJS.ProcessEnv
}

/**
 * Shows what the daemon is doing. Without a terminal on stdout, or on a dumb one, it prints one frame instead of the live screen.
 * The live screen answers SIGINT, SIGTERM and SIGHUP itself; frames leave them to the process.
 * @returns the exit code
 * @throws Refusal `unreachable` when frames are asked for and no daemon answers; the live screen waits for it instead
 */
export async function runTop(options: TopOptions): Promise<number> {
  const { socket, once, json, batch, count, view = 'all' } = options
  const { stdout, env } = options.terminal ?? process
  const signs = signsFor(env)
  const dumb = env['TERM'] === 'dumb'
  if (once || batch || json || dumb || !stdout.isTTY) {
    const width = (stdout.isTTY ? stdout.columns : undefined) ?? Number.POSITIVE_INFINITY
    await printFrames({
      client: controlClient(socket),
      count: batch && !once ? count : 1,
      everyMs: 1000,
      format: json
        ? live => JSON.stringify(live, null, batch && !once ? 0 : 2)
        : live => plainFrame(live, { width, signs, view }),
      write: text => new Promise(resolve => stdout.write(text, error => resolve(!error))),
    })
    return 0
  }
  // React picks its production build when it is first loaded, so this comes before the import.
  process.env['NODE_ENV'] = 'production'
  // Each refresh leaves garbage that dies young; V8 answers by growing the nursery, to 90 MB more within a minute.
  v8.setFlagsFromString('--semi-space-growth-factor=1')
  const { runLive } = await import('./live.ts')
  const color = options.color !== false && !env['NO_COLOR']
  return runLive({ socket, view, signs, color })
}

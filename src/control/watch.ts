// The live stream as a client sees it: frames and rows of a running daemon, and coming back by itself when they break off.

import net from 'node:net'
import { WebSocket } from 'ws'
import { why as sentence } from '../lib/why.ts'
import type { LiveMessage, RowKind } from './view.ts'

/** That the stream is not there. */
export interface Lost {
  /** true: nobody is there, or says nothing; false: it refuses */
  silent: boolean
  why: string
  /** the next try is the so manieth since it was lost, so much later */
  attempt: number
  afterMs: number
}

export interface WatchEvents {
  message(message: LiveMessage): void
  /** at the end of each try and of each stream */
  lost(lost: Lost): void
}

export interface WatchOptions {
  /** path of the daemon's control socket */
  socket: string
  rows: readonly RowKind[]
  /** how long is waited before each try, ms; the last one goes on */
  waitsMs?: readonly number[]
}

/** After 1, 2, 4, 8 and 16 s, and then every 16. */
const WAITS_MS = [1_000, 2_000, 4_000, 8_000, 16_000]
/** A daemon says something every second: one that does not for so long hangs. */
const SILENT_MS = 5_000

/** Begins at once. @returns what ends it */
export function watchDaemon({ socket, rows, waitsMs = WAITS_MS }: WatchOptions, events: WatchEvents): () => void {
  let stopped = false
  let attempt = 0
  let stream: WebSocket | undefined
  let timer: NodeJS.Timeout | undefined

  function connect(): void {
    let why: string | undefined
    let silent = true
    const ws = new WebSocket(`ws://gw/ws?rows=${rows.join(',') || 'none'}`, ['gw.live'], {
      createConnection: () => net.connect(socket),
      handshakeTimeout: SILENT_MS,
      perMessageDeflate: false,
    })
    stream = ws
    const quiet = setTimeout(() => {
      why = `silent for ${SILENT_MS / 1000} s`
      ws.terminate()
    }, SILENT_MS)
    ws.on('message', data => {
      quiet.refresh()
      attempt = 0
      if (!stopped) events.message(JSON.parse(String(data)) as LiveMessage)
    })
    ws.on('unexpected-response', (_req, res) => {
      silent = false
      why = `it has no live stream (status ${res.statusCode}); it may be an older gw`
      ws.terminate()
    })
    ws.on('error', (error: NodeJS.ErrnoException) => {
      why ??= reasons[error.code ?? ''] ?? sentence(error)
    })
    ws.on('close', (code, reason) => {
      clearTimeout(quiet)
      if (stopped) return
      const afterMs = waitsMs[Math.min(attempt, waitsMs.length - 1)]!
      attempt++
      const said = String(reason) || (code === 1006 ? 'the connection broke' : `closed with ${code}`)
      timer = setTimeout(connect, afterMs)
      events.lost({ silent, why: why ?? said, attempt, afterMs })
    })
  }
  connect()

  return () => {
    stopped = true
    clearTimeout(timer)
    stream?.terminate()
  }
}

const reasons: Record<string, string> = {
  ENOENT: 'there is no socket',
  ECONNREFUSED: 'nobody listens',
  EACCES: 'this user may not use the socket',
}

// `gw top` on a terminal: feed and component joined in Ink's alternate screen, and the terminal given back.
import { render, useWindowSize } from 'ink'
import { createElement as h, useSyncExternalStore } from 'react'
import { startFeed } from './feed.ts'
import type { View } from './press.ts'
import type { Signs } from './text.ts'
import { Top } from './top.ts'

export interface LiveOptions {
  readonly socket: string
  readonly view: View
  readonly signs: Signs
  readonly color: boolean
}

const signals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const

/** Shows the daemon until the person leaves. @returns 0, or 128 and the number of the signal that ended it */
export async function runLive({ socket, view, signs, color }: LiveOptions): Promise<number> {
  const feed = startFeed(socket)
  let code = 0
  const leave = () => screen.unmount()
  function Live() {
    const state = useSyncExternalStore(feed.subscribe, feed.state)
    const size = useWindowSize()
    return h(Top, { feed: state, size, signs, color, view, leave, keyboard: Boolean(process.stdin.isTTY) })
  }
  const screen = render(h(Live), {
    alternateScreen: true,
    incrementalRendering: true,
    // Not Ink's guess: it takes a terminal in a CI job for a log file.
    interactive: true,
    // Ctrl-C is a key like the others, so that it can be read in one place.
    exitOnCtrlC: false,
  })
  const ended = (signal: NodeJS.Signals) => {
    code = 128 + signals[signal as keyof typeof signals]
    leave()
  }
  const names = Object.keys(signals) as (keyof typeof signals)[]
  for (const name of names) process.on(name, ended)
  try {
    await screen.waitUntilExit()
    return code
  } finally {
    for (const name of names) process.off(name, ended)
    // A daemon that hangs would keep the process, and so the shell, waiting.
    feed.stop()
  }
}

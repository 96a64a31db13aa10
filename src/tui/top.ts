// The screen as a component: draws what the feed says, and changes with the keys.
import { Box, Text, type TextProps, useInput } from 'ink'
import { createElement as h, useEffect, useReducer } from 'react'
import type { FeedState } from './feed.ts'
import { draw, type Size } from './frame.ts'
import { firstScreen, press, strokes, type View } from './press.ts'
import type { Line, Mood, Signs } from './text.ts'

export interface TopProps {
  readonly feed: FeedState
  readonly size: Size
  readonly signs: Signs
  readonly color: boolean
  /** false: keys are not read, as Ink cannot where stdin is no terminal */
  readonly keyboard: boolean
  readonly view: View
  leave(): void
}

/** Pure in its props: asks nobody, and knows no clock. */
export function Top({ feed, size, signs, color, keyboard, view, leave }: TopProps) {
  const [screen, dispatch] = useReducer(press, view, firstScreen)
  const { lines, scroll } = draw(screen, feed, size, signs)
  useInput(
    (input, key) => {
      for (const stroke of strokes(input, key)) dispatch({ stroke, view: feed.view, scroll })
    },
    { isActive: keyboard },
  )
  useEffect(() => {
    if (screen.left) leave()
  }, [screen.left, leave])
  return h(
    Box,
    // No width of its own: when the terminal shrinks, Ink draws once before `size` says so, and must cut to the new width.
    { flexDirection: 'column' },
    // A line has no identity but its place.
    lines.map((line, i) => h(TextLine, { key: i, line, color })),
  )
}

const styles: Record<Mood, TextProps> = {
  good: { color: 'green' },
  warn: { color: 'yellow' },
  bad: { color: 'red', bold: true },
  dim: { dimColor: true },
  strong: { bold: true },
  mark: { bold: true, inverse: true },
}

// `truncate` should never have work to do; it is the last guard against a line that wraps and shifts the rest.
function TextLine({ line, color }: { line: Line; color: boolean }) {
  // Only coloured spans become elements: Ink lays out each one, and most of a screen is plain.
  const spans = line.map(({ text, mood }, i) => (color && mood ? h(Text, { key: i, ...styles[mood] }, text) : text))
  return h(Text, { wrap: 'truncate' }, line.length > 0 ? spans : ' ')
}

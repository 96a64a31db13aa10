// Takes the chunk with the usage out of a stream for a client that did not ask for it: gw asked, to bill it.
const LF = 10
const CR = 13
const USAGE = Buffer.from('"usage"')

/** For one answer: takes whole events, in order, and gives them without that one; every other byte passes. */
export function usageChunkStripper(): (events: Buffer) => Buffer {
  // The line feed of a last line end may come with the next events: it goes, or stays, with what it ends.
  let gone = false
  return events => {
    const kept: Buffer[] = []
    let rest = events
    if (rest[0] === LF) {
      if (!gone) kept.push(rest.subarray(0, 1))
      rest = rest.subarray(1)
    }
    if (events.length > 0) gone = false
    if (!mayCount(rest)) return kept.length === 1 || rest === events ? events : rest
    for (let at = 0; at < rest.length; ) {
      const end = eventEnd(rest, at)
      const event = rest.subarray(at, end)
      const extra = mayCount(event) && isUsageChunk(event)
      gone = extra && event.at(-1) === CR
      if (!extra) kept.push(event)
      at = end
    }
    return kept.length === 1 ? kept[0]! : Buffer.concat(kept)
  }
}

/** Whether a usage is there that is not null; with it null every chunk says so. */
function mayCount(bytes: Buffer): boolean {
  for (let at = bytes.indexOf(USAGE); at !== -1; at = bytes.indexOf(USAGE, at + 1)) {
    let value = at + USAGE.length
    while (bytes[value] === 0x20 || bytes[value] === 0x3a) value++
    if (bytes[value] !== 0x6e) return true
  }
  return false
}

function eventEnd(bytes: Buffer, from: number): number {
  let said = false
  for (let at = from; at < bytes.length; ) {
    let end = at
    while (end < bytes.length && bytes[end] !== LF && bytes[end] !== CR) end++
    const next = bytes[end] === CR && bytes[end + 1] === LF ? end + 2 : end + 1
    if (end > at) said = true
    else if (said) return Math.min(next, bytes.length)
    at = next
  }
  return bytes.length
}

/** A chunk without choices that counts: what is sent besides for who asks for usage. */
function isUsageChunk(event: Buffer): boolean {
  const data = event
    .toString('utf8')
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\n|\r/)
    .filter(line => line.startsWith('data:'))
    .map(line => line.slice(5))
  try {
    const { choices, usage } = JSON.parse(data.join('\n')) as { choices?: unknown; usage?: unknown }
    return Array.isArray(choices) && choices.length === 0 && typeof usage === 'object' && usage !== null
  } catch {
    return false
  }
}

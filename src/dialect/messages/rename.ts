// Puts the model's name that the client asked for back into an answer, in place; every other byte stays.
import { JsonError, scanObject } from '../json/scan.ts'

const top = new Set(['model'])
const start = new Set(['message'])

/** A whole message. What cannot be read is left as it is. */
export function renameBody(body: Buffer, model: string): Buffer {
  return (
    editing(() => {
      const span = scanObject(body, top).get('model')
      return span && replaced(body, span.start, span.end, model)
    }) ?? body
  )
}

/** The beginning of a stream, with its whole `message_start`: the only event that names a model. */
export function renameFrame(head: Buffer, model: string): Buffer {
  const at = head.indexOf('"message_start"')
  if (at === -1) return head
  return (
    editing(() => {
      const open = head.indexOf('{', Math.max(head.lastIndexOf(10, at), head.lastIndexOf(13, at)) + 1)
      const ends = [head.indexOf(10, at), head.indexOf(13, at)].filter(i => i !== -1)
      const line = head.subarray(open, ends.length === 0 ? head.length : Math.min(...ends))
      const message = scanObject(line, start).get('message')
      const span = message && scanObject(line.subarray(message.start, message.end), top).get('model')
      return span && replaced(head, open + message.start + span.start, open + message.start + span.end, model)
    }) ?? head
  )
}

function replaced(body: Buffer, from: number, to: number, model: string): Buffer {
  return Buffer.concat([body.subarray(0, from), Buffer.from(JSON.stringify(model)), body.subarray(to)])
}

function editing(edit: () => Buffer | undefined): Buffer | undefined {
  try {
    return edit()
  } catch (error) {
    if (error instanceof JsonError) return undefined
    throw error
  }
}

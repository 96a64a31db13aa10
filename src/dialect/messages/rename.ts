// Where a Messages answer names its model.
import { renamedBody, renamedEvents } from '../renaming.ts'

/** A whole message. What cannot be read is left as it is. */
export function renameBody(body: Buffer, model: string): Buffer {
  return renamedBody(body, ['model'], model)
}

/** The beginning of a stream, with its whole `message_start`: the only event that names a model. */
export function renameFrame(head: Buffer, model: string): Buffer {
  return renamedEvents(head, ['message', 'model'], model)
}

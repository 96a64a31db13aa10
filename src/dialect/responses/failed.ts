// The end of a stream that failed, as the vendor writes it.

/**
 * An error, at which the official SDK throws, and the failed response, which is all that Codex listens for.
 * @param sequence the number of the first of them
 */
export function failedFrames(error: object, response: object, sequence: number): string {
  return [
    { type: 'error', sequence_number: sequence, error },
    { type: 'response.failed', sequence_number: sequence + 1, response },
  ]
    .map(event => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
    .join('')
}

/** A response that came to nothing. */
export function failedResponse(id: string, code: string, message: string): object {
  return {
    id: `resp_${id}`,
    object: 'response',
    created_at: Math.floor(Date.now() / 1000),
    status: 'failed',
    error: { code, message },
    incomplete_details: null,
    output: [],
    usage: null,
  }
}

// The end of a stream that failed.

/**
 * The failed response, which is all that Codex listens for; beside it the error, at which the official SDKs throw.
 * @param sequence its number
 */
export function failedFrame(error: object, response: object, sequence: number): string {
  const event = { type: 'response.failed', sequence_number: sequence, response, error }
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
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

// Answers that are not the API's: of a page, a proxy or a firewall on the way, or of another server where the base URL is wrong.
import { brief, type Declined, declined, type Said } from './verdict.ts'

// Statuses that a page on the way may give for what the request holds: a firewall for its words, a proxy for its size.
const forContent = new Set([400, 413, 414, 415, 422, 431])

/** Not this API's answer: a page, words, or JSON of another shape. */
export function foreign(status: number, said: Said): Declined {
  const words = brief(said.message)
  const what = said.form === 'JSON' ? "JSON that is not this API's" : said.form
  const reason = `answers ${what} (status ${status}${words && `: ${words}`}); is the base URL right?`
  if (!forContent.has(status)) return declined('foreign', reason)
  return declined('foreign', reason, { doubtful: true, told: said.form === 'JSON' ? words : '' })
}

/** The API, but not there: an address or a method that it does not have. */
export function wrongPlace(status: number, message: string): string {
  const words = brief(message)
  return `answers ${status}${words && `: ${words}`}; is the base URL right?`
}

// Time zones, as this Node's Intl knows them.

/** Whether `name` is a time zone such as `Europe/Berlin` or `UTC`; bare offsets such as `+02:00` are none. */
export function isTimezone(name: string): boolean {
  // The default, asked by every command: a formatter for it would take a tenth of a command's whole time.
  if (name === 'UTC') return true
  try {
    return /^[a-z]/i.test(name) && new Intl.DateTimeFormat('en-US', { timeZone: name }) !== undefined
  } catch {
    return false
  }
}

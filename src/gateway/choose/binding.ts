// Binding: which account has a session's prompt in cache.

/** Where a session was bound, as operators see it. */
export interface Binding {
  session: string
  model: string
  key: string
  group: string | null
  account: number
  /** Unix ms of its last turn through this process */
  at: number
}

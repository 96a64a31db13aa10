// Shared state that may be forgotten. One contract test runs on every implementation.

export interface Store {
  /** Takes one place under a limit (0 or less: no limit). True when held, also if `holder` held it before. */
  acquire(key: string, holder: string, limit: number): Promise<boolean>
  /** Gives a place back; unknown holders are ignored. */
  release(key: string, holder: string): Promise<void>
  /** Places taken, per key. */
  held(keys: readonly string[]): Promise<number[]>
}

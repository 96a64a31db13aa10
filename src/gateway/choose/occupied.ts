// Occupied: what a choice comes to.
import type { Lease } from '../admit/leases.ts'
import type { Candidate, Selection } from './select.ts'

/** An account with a place held at it. */
export interface Occupied {
  candidate: Candidate
  lease: Lease
  selection: Selection
  /** Unix ms when it was chosen */
  since: number
  /** gives it back unused */
  undo(): void
}

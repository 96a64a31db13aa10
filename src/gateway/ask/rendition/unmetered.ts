// Unmetered: reads an answer that has no usage, and costs nothing.
import type { Meter } from '../../../dialect/dialect.ts'
import { noUsage } from '../../../dialect/usage.ts'

/** Of an answer without usage, which still may be an error. */
export class Unmetered implements Meter {
  readonly usage = noUsage()
  readonly told = true
  readonly promptTold = true
  readonly outputTold = true
  readonly modeTold = true
  readonly geoTold = true
  readonly lifetimesTold = true
  readonly complete = true
  readonly begun = true
  readonly ended = false
  readonly emitted = 0
  readonly #meter: Meter

  constructor(meter: Meter) {
    this.#meter = meter
  }

  get error(): Meter['error'] {
    return this.#meter.error
  }
  push(chunk: Buffer): void {
    this.#meter.push(chunk)
  }
  end(): void {
    this.#meter.end()
  }
}

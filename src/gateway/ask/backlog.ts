// Backlog: bytes that are kept back until it is known whose they are.

export class Backlog {
  #chunks: Buffer[] = []
  bytes = 0

  keep(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.bytes += chunk.length
  }

  /** All of them as one; then there are none. */
  take(): Buffer {
    const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks, this.bytes)
    this.#chunks = []
    this.bytes = 0
    return all
  }
}

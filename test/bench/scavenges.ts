// What `--trace-gc` says of young collections, in the part of a log that a slice wrote.
import { closeSync, openSync, readSync, statSync } from 'node:fs'

const line = /^\[(\d+:0x[\da-f]+)\].*? ms: Scavenge .*?([\d.]+) \/ [\d.]+ ms/gm

export const sizeOf = (file: string) => statSync(file).size

/** Mean ms of a scavenge of the busiest isolate since the log had `from` bytes; 0 when there was none. */
export function meanScavengeMs(file: string, from: number): number {
  const bytes = Buffer.alloc(sizeOf(file) - from)
  const fd = openSync(file, 'r')
  readSync(fd, bytes, 0, bytes.length, from)
  closeSync(fd)
  const byIsolate = new Map<string, number[]>()
  for (const [, isolate, ms] of bytes.toString('latin1').matchAll(line))
    byIsolate.set(isolate!, [...(byIsolate.get(isolate!) ?? []), Number(ms)])
  const [busiest = []] = [...byIsolate.values()].sort((a, b) => b.length - a.length)
  return busiest.length === 0 ? 0 : busiest.reduce((sum, ms) => sum + ms) / busiest.length
}

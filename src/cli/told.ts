// Writes as fast as stdout takes it, and no faster.
import type { Shell } from './shell.ts'

/** Waits until stdout has taken the text. @returns false when its reader has left, as `head` does */
export function told(stdout: Shell['stdout'], text: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    stdout.write(text, error => {
      if (!error) resolve(true)
      else if ((error as NodeJS.ErrnoException).code === 'EPIPE' || stdout.destroyed) resolve(false)
      else reject(error)
    })
  })
}

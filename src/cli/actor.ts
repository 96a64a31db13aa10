// Who types: the name that the ledger keeps.
import { userInfo } from 'node:os'
import type { Shell } from './shell.ts'

/** The person behind sudo, else the name of the system's user, or its number when it has no name. */
export function actor({ env }: Pick<Shell, 'env'>): string {
  const { SUDO_USER } = env
  if (SUDO_USER) return SUDO_USER
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.()}`
  }
}

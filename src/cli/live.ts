// What the commands about a running daemon share: its control socket.
import type { ControlClient } from '../control/client.ts'
import type { Invocation } from './command.ts'

/** How many of them, in words. */
export const requests = (n: number): string => `${n} request${n === 1 ? '' : 's'}`

/** The daemon of this configuration; asking it ends with exit code 4 when there is none. `quiet`: it says itself what is wrong in that. */
export async function daemon(gw: Invocation, quiet = false): Promise<ControlClient> {
  const { controlClient } = await import('../control/client.ts')
  return controlClient(await gw.socket(quiet))
}

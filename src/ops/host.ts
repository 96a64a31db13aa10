// By which names the ops listener may be asked: on loopback only by those that are nobody else's.
import { type AddressInfo, isIP } from 'node:net'
import { isLoopback } from '../config/address.ts'

/**
 * Why a request for `host` is not answered; undefined when it is. `name` is what `ops.listen` is called by, '' for none. A page of
 * anybody's may have its own name resolved to 127.0.0.1 and read what its browser then gets (DNS rebinding).
 */
export function foreignHost(
  bound: AddressInfo | string | null,
  name: string,
  host: string | undefined,
): string | undefined {
  if (!isLocal(bound) || isOurs(host, name)) return undefined
  return 'on loopback ask for localhost, 127.0.0.1, [::1] or the name in ops.listen'
}

function isLocal(bound: AddressInfo | string | null): boolean {
  return bound !== null && typeof bound === 'object' && isLoopback({ host: bound.address, port: bound.port })
}

function isOurs(host: string | undefined, name: string): boolean {
  const asked = host
    ?.toLowerCase()
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
  if (asked === undefined || asked === '') return false
  return (
    asked === name.toLowerCase() || asked === 'localhost' || (isIP(asked) !== 0 && isLoopback({ host: asked, port: 0 }))
  )
}

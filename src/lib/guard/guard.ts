// The guard: the only way to an address that somebody typed. Names are looked up, judged and pinned for each connection anew.
import { lookup as systemLookup } from 'node:dns/promises'
import { isIP, type LookupFunction, type Socket } from 'node:net'
import { canonical, refusedAddress } from './ranges.ts'
import { bare, type UrlRules, urlProblem } from './url.ts'

/** All addresses of a name. */
export type Resolve = (host: string) => Promise<readonly string[]>

export interface GuardOptions extends UrlRules {
  /** the setting that would allow it, for messages: `notify.allow_private`; undefined: none would */
  setting?: string
  /** default: the system's, /etc/hosts and all */
  resolve?: Resolve
  /** what is wrong with an address; default: what is not of the public internet (ranges.ts) */
  refused?: (address: string) => string | undefined
}

export interface Guard {
  readonly rules: UrlRules
  /** An error when the URL may not be asked, as far as that can be told without asking anybody (scheme, port, literal addresses, names). */
  problem(url: URL): NodeJS.ErrnoException | undefined
  /** The same, and looks its name up, too; connects to nobody. @throws Error with code EGUARD, or the resolver's own */
  check(url: URL): Promise<void>
  /**
   * Makes a connection with `make`, which must hand `lookup` to net or tls and connect at once. Every address of the name is
   * judged, one that is bad refuses all; what is dialled is what was judged, and who answers is judged again before a
   * byte is written. A refusal is the socket's error, with code EGUARD.
   */
  connect<S extends Socket>(make: (lookup: LookupFunction) => S): S
}

/** The code of whatever the guard refuses; the message says what and why. */
export const GUARD_CODE = 'EGUARD'

/** Whether an error is the guard's own no, which asking again does not change. */
export const isGuards = (error: unknown): boolean => (error as NodeJS.ErrnoException | undefined)?.code === GUARD_CODE

const systems: Resolve = async host => (await systemLookup(host, { all: true })).map(({ address }) => address)

export function createGuard(options: GuardOptions): Guard {
  const { allowPrivate, setting, resolve = systems } = options
  const refused = options.refused ?? (address => refusedAddress(address, allowPrivate))
  const fault = (what: string) => {
    const remedy = allowPrivate || setting === undefined ? '' : ` (${setting} is false)`
    return Object.assign(new Error(`${what}${remedy}`), { code: GUARD_CODE })
  }

  const problem = (url: URL) => {
    const what = urlProblem(url, { allowPrivate })
    return what === undefined ? undefined : fault(`the URL ${what}`)
  }

  async function pinned(host: string): Promise<string[]> {
    const addresses = [...new Set(await resolve(host))]
    if (addresses.length === 0) throw fault(`the host ${host} has no address`)
    for (const address of addresses) {
      const word = refused(address)
      // A name with one good and one bad address is a trap, not a coincidence.
      if (word !== undefined) throw fault(`the host ${host} has the address ${address}, which is ${word}`)
    }
    return addresses
  }

  return {
    rules: { allowPrivate },
    problem,
    async check(url) {
      const found = problem(url)
      if (found) throw found
      const host = bare(url.hostname)
      if (isIP(host) === 0) await pinned(host)
    },
    connect(make) {
      let pins: Set<string> | undefined
      const socket = make((host, { all }, found) => {
        pinned(host).then(
          addresses => {
            pins = new Set(addresses.map(canonical))
            const list = addresses.map(address => ({ address, family: isIP(address) }))
            if (all) found(null, list)
            else found(null, list[0]!.address, list[0]!.family)
          },
          (error: NodeJS.ErrnoException) => found(error, '', 0),
        )
      })
      // First of all who hear of it: whoever writes does so after the socket is destroyed.
      socket.prependOnceListener('connect', () => {
        const { remoteAddress } = socket
        // It is gone already, and its end is about to be told.
        if (remoteAddress === undefined) return
        const word = refused(canonical(remoteAddress))
        if (word !== undefined) socket.destroy(fault(`who answered is ${remoteAddress}, which is ${word}`))
        else if (pins && !pins.has(canonical(remoteAddress)))
          socket.destroy(fault(`who answered is ${remoteAddress}, which is none of the addresses that were looked up`))
      })
      return socket
    },
  }
}

// Which web pages may open the live stream: those of the host that was asked (spec/domain.md §12.11).

export type OriginPolicy = 'strict' | 'permissive'

/** What a request says of where it comes from. */
export interface Whence {
  origin: string | undefined
  host: string | undefined
  /** X-Forwarded-Host as it came */
  forwardedHost: string | undefined
  /** address of who connected */
  peer: string
}

/**
 * Browsers always send an Origin, programs seldom do: without one it is `strict` that refuses. With one, its host must be the
 * host that was asked, whatever the ports; behind a trusted proxy that is what the proxy was asked.
 */
export function originAllowed(
  { origin, host, forwardedHost, peer }: Whence,
  policy: OriginPolicy,
  trusts: (ip: string) => boolean,
): boolean {
  if (origin === undefined) return policy === 'permissive'
  const from = hostOf(origin)
  const asked = forwardedHost !== undefined && trusts(peer) ? forwardedHost.split(',')[0]!.trim() : host
  return from !== undefined && asked !== undefined && from === hostOf(`http://${asked}`)
}

/** Lower case, without a port; undefined where there is none (`null`, `file://`, nonsense). */
function hostOf(url: string): string | undefined {
  return URL.parse(url)?.hostname || undefined
}

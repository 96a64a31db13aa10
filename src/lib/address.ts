// Which client addresses a list of IPs and CIDRs lets in.
import { BlockList, isIP } from 'node:net'

/** `10.0.0.0/8`, `2001:db8::1` …: an error text, or undefined when it is well formed. */
export function cidrProblem(text: string): string | undefined {
  const [address = '', bits, more] = text.split('/')
  // A zone (fe80::1%eth0) belongs to one machine, and no list knows it.
  const family = address.includes('%') ? 0 : isIP(address)
  if (family === 0 || more !== undefined)
    return `"${text}" is not an IP address or CIDR, for example 192.0.2.7 or 10.0.0.0/8`
  const most = family === 4 ? 32 : 128
  if (bits !== undefined && !(/^\d{1,3}$/.test(bits) && Number(bits) <= most))
    return `"${text}" needs a prefix length of 0–${most}`
  return undefined
}

/** A test for addresses; an empty list lets everybody in. IPv4-mapped IPv6 is judged as IPv4. */
export function allowList(entries: readonly string[]): (ip: string) => boolean {
  if (entries.length === 0) return () => true
  const list = new BlockList()
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  return ip => {
    const plain = ip.startsWith('::ffff:') ? ip.slice(7) : ip
    const family = isIP(plain)
    return family !== 0 && list.check(plain, family === 6 ? 'ipv6' : 'ipv4')
  }
}

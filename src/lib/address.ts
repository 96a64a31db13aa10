// Addresses of clients: which of them a list of IPs and CIDRs holds, and whose a request is that came through proxies.
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
    const address = plain(ip)
    const family = isIP(address)
    return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4')
  }
}

/** IPv4 as such, also where a socket for both writes it as IPv6. */
export const plain = (ip: string): string => (ip.startsWith('::ffff:') && isIP(ip.slice(7)) === 4 ? ip.slice(7) : ip)

// More proxies than stand in any row.
const MOST_HOPS = 32

/**
 * Whose request it is. `peer` is who connected and `forwarded` the X-Forwarded-For that it sent, several joined by commas.
 * Each proxy wrote down, at the end, who connected to it: so it is read from the right, and only while whoever wrote an entry is trusted.
 * An entry that is no address ends the walk at the last one that was.
 */
export function clientAddress(peer: string, forwarded: string, trusts: (ip: string) => boolean): string {
  let client = plain(peer)
  let end = forwarded.length
  for (let hop = 0; hop < MOST_HOPS && end >= 0 && trusts(client); ) {
    const comma = end === 0 ? -1 : forwarded.lastIndexOf(',', end - 1)
    const entry = forwarded.slice(comma + 1, end).trim()
    end = comma
    // HTTP lets a list have empty entries, which say nothing.
    if (entry === '') continue
    const address = bare(entry)
    if (address === undefined) break
    client = address
    hop++
  }
  return client
}

// `192.0.2.7`, `192.0.2.7:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`, any of them in quotes.
function bare(entry: string): string | undefined {
  if (entry.length > 64) return undefined
  const [, v6, v4] = /^"?(?:\[([0-9a-f:.]+)\](?::\d{1,5})?|([\d.]+)(?::\d{1,5})?)"?$/i.exec(entry) ?? []
  const address = v6 ?? v4 ?? entry
  if (address.includes('%') || isIP(address) === 0 || (v6 !== undefined && isIP(v6) !== 6)) return undefined
  return plain(address)
}

/** An IPv4 address as it is, of IPv6 the first 64 bits: that is what one household is given. */
export function networkOf(ip: string): string {
  if (!ip.includes(':')) return ip
  const [front = '', back] = ip.split('::')
  const before = groups(front)
  if (back !== undefined) {
    const after = groups(back)
    const left = 8 - before.length - after.length - (back.includes('.') ? 1 : 0)
    before.push(...new Array<string>(Math.max(0, left)).fill('0'), ...after)
  }
  return before
    .slice(0, 4)
    .map(group => Number.parseInt(group, 16).toString(16))
    .join(':')
}

const groups = (text: string): string[] => (text === '' ? [] : text.split(':'))

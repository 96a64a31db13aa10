// Which addresses are of the public internet: everything else is refused, and IPv4 inside IPv6 is judged as what it is.
import { BlockList, isIP } from 'node:net'

// Never asked, whatever the settings say: nobody serves anything there but what only this machine or cloud should reach.
const never: readonly (readonly [string, string])[] = [
  ['0.0.0.0/8', 'unspecified'],
  ['169.254.0.0/16', 'link-local, where clouds keep their metadata'],
  ['100.100.100.200/32', 'the metadata service of a cloud'],
  ['168.63.129.16/32', 'the metadata service of a cloud'],
  ['192.0.0.0/24', 'reserved'],
  ['192.0.2.0/24', 'for documentation'],
  ['198.51.100.0/24', 'for documentation'],
  ['203.0.113.0/24', 'for documentation'],
  ['192.88.99.0/24', 'reserved'],
  ['198.18.0.0/15', 'for benchmarks'],
  ['224.0.0.0/4', 'multicast'],
  ['255.255.255.255/32', 'broadcast'],
  ['240.0.0.0/4', 'reserved'],
  ['::/128', 'unspecified'],
  ['fd00:ec2::/32', 'the metadata service of a cloud'],
  ['fd20:ce::254/128', 'the metadata service of a cloud'],
  ['fe80::/10', 'link-local'],
  ['ff00::/8', 'multicast'],
  ['64:ff9b:1::/48', 'reserved'],
  ['100::/64', 'reserved'],
  ['2001:db8::/32', 'for documentation'],
  ['3fff::/20', 'for documentation'],
  // Of 2001::/23 Teredo is judged by its IPv4; the rest is for protocols, not for servers.
  ['2001:2::/48', 'for benchmarks'],
  ['2001:10::/28', 'reserved'],
  ['2001:20::/28', 'reserved'],
]

const local: readonly (readonly [string, string])[] = [
  ['127.0.0.0/8', 'loopback'],
  ['10.0.0.0/8', 'private'],
  ['172.16.0.0/12', 'private'],
  ['192.168.0.0/16', 'private'],
  ['100.64.0.0/10', 'private (shared by a carrier)'],
  ['::1/128', 'loopback'],
  ['fc00::/7', 'private'],
]

interface Range {
  list: BlockList
  word: string
}

function ranges(of: readonly (readonly [string, string])[]): readonly Range[] {
  return of.map(([cidr, word]) => {
    const [address = '', bits] = cidr.split('/')
    const list = new BlockList()
    list.addSubnet(address, Number(bits), isIP(address) === 6 ? 'ipv6' : 'ipv4')
    return { list, word }
  })
}
const nevers = ranges(never)
const locals = ranges(local)

const unicast = new BlockList()
unicast.addSubnet('2000::', 3, 'ipv6')

/**
 * What is wrong with an address, in a word or two ("private", "loopback"); undefined when it is one of the public
 * internet. With `allowPrivate` the private and loopback ones are good, too; link-local, multicast and the like are not.
 */
export function refusedAddress(ip: string, allowPrivate = false): string | undefined {
  const address = ip.split('%')[0]!
  const family = isIP(address)
  if (family === 0) return 'not an address'
  if (family === 4) return found(address, 'ipv4', allowPrivate)
  const words = wordsOf(address)
  const inner = embedded(words)
  if (inner !== undefined)
    return inner.map(each => refusedAddress(each, allowPrivate)).find(problem => problem !== undefined)
  const problem = found(address, 'ipv6', allowPrivate)
  if (problem !== undefined) return problem
  const known = unicast.check(address, 'ipv6') || locals.some(({ list }) => list.check(address, 'ipv6'))
  return known ? undefined : 'reserved'
}

function found(address: string, family: 'ipv4' | 'ipv6', allowPrivate: boolean): string | undefined {
  return (allowPrivate ? [nevers] : [nevers, locals]).flat().find(({ list }) => list.check(address, family))?.word
}

/** The address in one spelling: IPv4 also where it is mapped into IPv6. @throws Error when it is none */
export function canonical(ip: string): string {
  const address = ip.split('%')[0]!
  if (isIP(address) === 4) return address
  const words = wordsOf(address)
  return isMapped(words) ? v4(words[6]!, words[7]!) : words.map(word => word.toString(16)).join(':')
}

const isMapped = (words: readonly number[]): boolean =>
  words.slice(0, 5).every(word => word === 0) && words[5] === 0xffff

/** The IPv4 addresses that an IPv6 address leads to, by the ways there are to put one into the other; undefined: none. */
function embedded(words: readonly number[]): string[] | undefined {
  const [a, b, c, d, e, f, g, h] = words as [number, number, number, number, number, number, number, number]
  const last = v4(g, h)
  // ::ffff:a.b.c.d
  if (isMapped(words)) return [last]
  // ::a.b.c.d, given up long ago (RFC 4291 §2.5.5.1); :: and ::1 are what they are
  if ([a, b, c, d, e, f].every(word => word === 0) && (g !== 0 || h > 1)) return [last]
  // ::ffff:0:a.b.c.d, translated without state (RFC 2765)
  if ([a, b, c, d, f].every(word => word === 0) && e === 0xffff) return [last]
  // 64:ff9b::a.b.c.d, NAT64 (RFC 6052)
  if (a === 0x64 && b === 0xff9b && [c, d, e, f].every(word => word === 0)) return [last]
  // 2002:aabb:ccdd::, 6to4 (RFC 3056)
  if (a === 0x2002) return [v4(b, c)]
  // 2001:0:server:…:client, Teredo: the client with its bits turned over (RFC 4380 §4)
  if (a === 0x2001 && b === 0) return [v4(c, d), v4(g ^ 0xffff, h ^ 0xffff)]
  // …:0:5efe:a.b.c.d, ISATAP (RFC 5214 §6.1), in whatever network
  if ((e === 0 || e === 0x200) && f === 0x5efe && unicastWord(a)) return [last]
  return undefined
}

const unicastWord = (first: number): boolean => first >>> 13 === 1

const v4 = (high: number, low: number): string => `${high >>> 8}.${high & 255}.${low >>> 8}.${low & 255}`

/** The eight words of an IPv6 address, however it is spelled. */
function wordsOf(address: string): number[] {
  // The last 32 bits may be written as IPv4.
  const hex = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => {
    return `${((a << 8) | Number(b)).toString(16)}:${((c << 8) | Number(d)).toString(16)}`
  })
  const [head = '', tail] = hex.split('::')
  const read = (part: string) => (part === '' ? [] : part.split(':').map(word => Number.parseInt(word, 16)))
  const [before, after] = [read(head), read(tail ?? '')]
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after]
}

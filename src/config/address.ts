// Addresses to listen on: as people write them, as `server.listen()` takes them.

import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net'
import { type Kind, quote, refuse } from './kinds.ts'

/** Where to listen; `server.listen()` takes it as it is. IPv6 hosts come without brackets. */
export type Address = { readonly host: string; readonly port: number } | { readonly fd: number }

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** Whether only this machine can connect. A passed socket (`fd:3`) may be bound anywhere, so it does not count. */
export function isLoopback(address: Address): boolean {
  if ('fd' in address) return false
  return address.host === 'localhost' || loopback.check(address.host, isIPv4(address.host) ? 'ipv4' : 'ipv6')
}

/** `127.0.0.1:8080`, `[::1]:8080`, `fd:3`. */
export function formatAddress(address: Address): string {
  if ('fd' in address) return `fd:${address.fd}`
  return `${isIPv6(address.host) ? `[${address.host}]` : address.host}:${address.port}`
}

/** A TCP address or a passed socket; `example` is what errors tell people to write. */
export function address(example: string): Kind<Address> {
  return {
    allowed: '`host:port`, `[v6]:port` or `fd:N`',
    schema: { type: 'string' },
    parse: text => parseAddress(text, example),
    show: formatAddress,
  }
}

/** An address, or `off` for not listening at all. */
export function addressOrOff(example: string): Kind<Address | 'off'> {
  const on = address(example)
  return {
    allowed: `${on.allowed}, or \`off\``,
    schema: on.schema,
    parse: text => (text === 'off' ? 'off' : parseAddress(text, `${example}, or off`)),
    show: value => (value === 'off' ? 'off' : formatAddress(value)),
  }
}

/** `https://chat.example.com`, as browsers write an origin, or `*`: an error text, or undefined when it is well formed. */
export function originProblem(text: string): string | undefined {
  if (text === '*' || (URL.canParse(text) && new URL(text).origin === text && text !== 'null')) return undefined
  return `${quote(text)} is not an origin; write it as browsers do, scheme and host in small letters, a port that is not the usual one, nothing after it: https://chat.example.com or http://localhost:3000`
}

function parseAddress(text: string, example: string): Address {
  const write = `write host:port, for example ${example}`
  const fd = /^fd:(\d{1,6})$/.exec(text)
  if (fd) {
    if (Number(fd[1]) < 3) refuse(`passed sockets are numbered from 3, got "${text}"; write for example fd:3`)
    return { fd: Number(fd[1]) }
  }
  if (text.includes('://')) refuse(`an address has no scheme, got ${quote(text)}; ${write}`)
  if (isIPv6(text)) refuse(`an IPv6 address needs brackets and a port, got "${text}"; write for example "[::1]:8080"`)
  const [, host = '', port] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/.exec(text) ?? []
  const bare = /^:?(\d+)$/.exec(text) ?? /^\*:(\d+)$/.exec(text)
  if (bare) {
    const hosts = `127.0.0.1:${bare[1]} for this machine only, 0.0.0.0:${bare[1]} for every network`
    refuse(`a port alone does not say who may connect, got "${text}"; write ${hosts}`)
  }
  if (port === undefined || port === '') refuse(`the port is missing, got ${quote(text)}; ${write}`)
  if (!/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65535)
    refuse(`the port must be 1–65535, got ${quote(port)}; ${write}`)
  const v6 = /^\[(.*)\]$/.exec(host)?.[1]
  // Only digits and dots is a mistyped IPv4 address, never a name.
  const named = /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/i.test(host) && !/^[\d.]+$/.test(host)
  if (v6 === undefined ? !named && !isIP(host) : !isIPv6(v6))
    refuse(`the host must be an IP address or a name, got ${quote(host)}; ${write}`)
  return { host: v6 ?? host, port: Number(port) }
}

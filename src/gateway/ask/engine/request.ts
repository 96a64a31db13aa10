// The head of a request as it goes over the wire.
import type { UpstreamRequest } from '../../../platform/platform.ts'
import { failure } from './engine.ts'

// What we alone may say of how a request is framed.
const framing = new Set(['connection', 'content-length', 'keep-alive', 'trailer', 'transfer-encoding', 'upgrade'])
const token = /^[\w!#$%&'*+.^`|~-]+$/
const unsendable = /[^\t\x20-\x7e\x80-\xff]/
const unescaped = /[^\x21-\xff]/

/** The head as it goes over the wire, or why it cannot be sent; codes as node:http throws them. */
export function requestHead(
  request: UpstreamRequest,
  bodyBytes: number,
  keep: boolean,
): string | NodeJS.ErrnoException {
  const { method, path, headers } = request
  if (!token.test(method)) return failure('ERR_INVALID_HTTP_TOKEN', 'Method must be a valid HTTP token')
  if (unescaped.test(path)) return failure('ERR_UNESCAPED_CHARACTERS', 'Request path contains unescaped characters')
  let head = `${method} ${path} HTTP/1.1\r\n`
  if (headers['host'] === undefined) head += `host: ${request.origin.host}\r\n`
  for (const name in headers) {
    const value = headers[name]
    if (value === undefined || framing.has(name)) continue
    if (!token.test(name)) return failure('ERR_INVALID_HTTP_TOKEN', 'Header name must be a valid HTTP token')
    for (const one of Array.isArray(value) ? value : [value]) {
      if (typeof one === 'string' && unsendable.test(one))
        return failure('ERR_INVALID_CHAR', `Invalid character in header content ["${name}"]`)
      head += `${name}: ${one}\r\n`
    }
  }
  if (bodyBytes > 0 || (method !== 'GET' && method !== 'HEAD')) head += `content-length: ${bodyBytes}\r\n`
  return `${head}connection: ${keep ? 'keep-alive' : 'close'}\r\n\r\n`
}

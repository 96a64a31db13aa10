// A name server of our own on UDP, and what it answers to each question in turn.
import dgram from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { isIP } from 'node:net'
import type { Test } from 'tap'

/**
 * Answers to each name: the first list to the first question of either kind (A or AAAA), the next to the next; the last is kept.
 * @returns how to ask it, and how often each name was asked
 */
export async function nameServer(t: Test, names: Record<string, readonly (readonly string[])[]>) {
  const socket = dgram.createSocket('udp4')
  const asked: Record<string, number> = {}
  socket.on('message', (question, from) => {
    const { name, type, end } = read(question)
    const kind = type === 28 ? 6 : 4
    const turn = (asked[`${name} ${kind}`] = (asked[`${name} ${kind}`] ?? 0) + 1) - 1
    const answers = names[name]
    const list = (answers?.[Math.min(turn, answers.length - 1)] ?? []).filter(address => isIP(address) === kind)
    const head = Buffer.from(question.subarray(0, 12))
    head.writeUInt16BE(answers ? 0x8180 : 0x8183, 2)
    head.writeUInt16BE(list.length, 6)
    head.writeUInt32BE(0, 8)
    const records = list.map(address => {
      const data = bytesOf(address)
      const record = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, data.length])
      return Buffer.concat([record, data])
    })
    socket.send(Buffer.concat([head, question.subarray(12, end), ...records]), from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.teardown(() => socket.close())
  const resolver = new Resolver({ timeout: 2000, tries: 2 })
  resolver.setServers([`127.0.0.1:${socket.address().port}`])
  return {
    asked,
    async resolve(host: string): Promise<string[]> {
      const [four, six] = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
      const found = [four, six].flatMap(each => (each.status === 'fulfilled' ? each.value : []))
      if (found.length === 0 && four.status === 'rejected' && four.reason.code !== 'ENODATA') throw four.reason
      return found
    },
  }
}

function read(question: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = question[at]!; length > 0; length = question[at]!) {
    labels.push(question.toString('latin1', at + 1, at + 1 + length))
    at += length + 1
  }
  return { name: labels.join('.').toLowerCase(), type: question.readUInt16BE(at + 1), end: at + 5 }
}

function bytesOf(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number))
  const [before = '', after = ''] = address.split('::')
  const words = (part: string) => (part === '' ? [] : part.split(':'))
  const [head, tail] = [words(before), words(after)]
  const all = [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => '0'), ...tail]
  return Buffer.from(all.map(word => word.padStart(4, '0')).join(''), 'hex')
}

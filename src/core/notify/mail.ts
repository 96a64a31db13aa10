// The mail format, handed in by SMTP: plain text and the same as HTML, one mail to all recipients of a channel.

import type { AlertMessage } from '../../db/schema-watch.ts'
import { readNamed } from '../../lib/named-file.ts'
import { why } from '../../lib/why.ts'
import { Untaken } from './untaken.ts'
import type { Delivery } from './webhook.ts'
import { facts, headline, oneLine, plainText, sentences } from './words.ts'

/** Where mail is handed in; as settings say. */
export interface Smtp {
  url: string | undefined
  passwordFile: string | undefined
  from: string | undefined
}

const DIAL_MS = 5_000
const TOTAL_MS = 10_000

const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/i

/**
 * @returns what is to be known though it was taken: recipients that the server did not want
 * @throws Untaken; what it says has no password in it
 */
export async function sendMail(
  smtp: Smtp,
  recipients: readonly string[],
  message: AlertMessage,
  { key }: Delivery,
  leaving?: AbortSignal,
): Promise<string | undefined> {
  const definite = { definite: true }
  if (smtp.url === undefined) throw new Untaken('smtp.url is not set, so no mail can be sent', definite)
  if (smtp.from === undefined) throw new Untaken('smtp.from is not set: a mail needs a sender', definite)
  const url = new URL(smtp.url)
  const secure = url.protocol === 'smtps:'
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const user = decodeURIComponent(url.username)
  const pass = passwordOf(smtp, decodeURIComponent(url.password))
  const { createTransport } = await import('nodemailer')
  const transport = createTransport({
    host,
    port: url.port === '' ? (secure ? 465 : 587) : Number(url.port),
    secure,
    // A password goes nowhere in clear, but to this machine.
    requireTLS: !secure && user !== '' && !loopback.test(url.hostname),
    ...(user === '' ? {} : { auth: { user, pass } }),
    connectionTimeout: DIAL_MS,
    greetingTimeout: DIAL_MS,
    socketTimeout: TOTAL_MS,
    dnsTimeout: DIAL_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`no answer in ${TOTAL_MS / 1000} s`)), TOTAL_MS)
  const leave = () => late.reject(new Error('given up'))
  leaving?.addEventListener('abort', leave, { once: true })
  try {
    const sending = transport.sendMail({
      from: oneLine(smtp.from),
      to: recipients.map(oneLine),
      subject: headline(message),
      text: plainText(message),
      html: html(message),
      // The same at every attempt: who has it already can tell.
      messageId: `<${key}@${oneLine(smtp.from).replace(/^.*@|>.*$/g, '')}>`,
      headers: { 'Auto-Submitted': 'auto-generated' },
    })
    // It may still end when nobody waits any more.
    sending.catch(() => {})
    const { rejected } = await Promise.race([sending, late.promise])
    return rejected.length === 0 ? undefined : `not taken for ${rejected.map(String).map(oneLine).join(', ')}`
  } catch (error) {
    const { code, response, message: said } = error as NodeJS.ErrnoException & { response?: string }
    const words = oneLine(String(response ?? said))
    const told = pass === '' ? words : sentAs(user, pass).reduce((left, form) => left.replaceAll(form, '***'), words)
    throw new Untaken(code === undefined || told.includes(code) ? told : `${code}: ${told}`)
  } finally {
    clearTimeout(timer)
    leaving?.removeEventListener('abort', leave)
    transport.close()
  }
}

/** A password as a server may quote it: as it is, and as AUTH LOGIN and AUTH PLAIN carry it. */
function sentAs(user: string, pass: string): string[] {
  const base64 = [pass, `\0${user}\0${pass}`].map(text => Buffer.from(text).toString('base64'))
  return [pass, ...base64, ...base64.map(text => text.replace(/=+$/, ''))]
}

function passwordOf({ passwordFile }: Smtp, inUrl: string): string {
  if (passwordFile === undefined) return inUrl
  try {
    return readNamed(passwordFile).replace(/\r?\n$/, '')
  } catch (error) {
    throw new Untaken(`smtp.password_file cannot be read: ${why(error)}`)
  }
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const escaped = (text: string): string => text.replace(/[&<>"']/g, sign => entities[sign]!)

function html(message: AlertMessage): string {
  const said = sentences(message).map(text => `<p>${escaped(text)}</p>`)
  const rows = facts(message).map(
    ([label, value]) => `<tr><th align="left">${escaped(label)}</th><td>${escaped(value)}</td></tr>`,
  )
  const table = rows.length === 0 ? '' : `<table cellpadding="4">${rows.join('')}</table>`
  return `<!doctype html><meta charset="utf-8"><h3>${escaped(headline(message))}</h3>${said.join('')}${table}`
}

// Sends one message to one channel, once.
import type { AlertMessage, ChannelType } from '../../db/schema-watch.ts'
import type { Guard } from '../../lib/guard/guard.ts'
import { formsOf } from '../conceal.ts'
import { chats } from './chat.ts'
import { type Smtp, sendMail } from './mail.ts'
import { post } from './post.ts'
import { Untaken } from './untaken.ts'
import { type Delivery, webhook } from './webhook.ts'
import { cutLength } from './words.ts'

/** A channel with its secrets in clear: made to send, and kept no longer. */
export interface OpenChannel {
  name: string
  type: ChannelType
  url: string | undefined
  secret: string | undefined
  recipients: readonly string[]
}

export interface Sending {
  smtp: Smtp
  guard: Guard
  leaving?: AbortSignal | undefined
  /** PEM certificates trusted instead of the usual ones */
  ca?: string | undefined
}

/**
 * @returns what is to be known though it was taken
 * @throws Untaken, whose words hold no secret of the channel
 */
export async function send(
  channel: OpenChannel,
  message: AlertMessage,
  delivery: Delivery,
  sending: Sending,
): Promise<string | undefined> {
  const { type, url = '', secret, recipients } = channel
  try {
    if (type === 'email') return await sendMail(sending.smtp, recipients, message, delivery, sending.leaving)
    const now = Date.now()
    const posted =
      type === 'webhook'
        ? webhook({ url, secret }, message, delivery, now)
        : chats[type]({ url, secret, chat: recipients[0] }, message, now)
    await post(posted, sending)
    return undefined
  } catch (error) {
    const { message: words, definite, afterMs } = Untaken.by(error)
    throw new Untaken(concealed(words, channel), { definite, afterMs })
  }
}

// Of what a receiver says.
const LONGEST_WORDS = 200

/** A receiver may quote what it was asked; cut afterwards, since half a secret is none that could be found. */
function concealed(text: string, { url = '', secret = '' }: OpenChannel): string {
  const { pathname = '', search = '' } = URL.parse(url) ?? {}
  const parts = [url, secret, pathname + search, ...`${pathname}${search}`.split(/[/?&=]/)]
  const forms = parts.filter(part => part.length >= 8).flatMap(formsOf)
  const clean = forms.reduce((left, form) => left.replaceAll(form, '***'), text)
  return cutLength(clean, LONGEST_WORDS)
}

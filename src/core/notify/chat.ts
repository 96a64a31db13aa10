// The formats of chats: plain text for all, since what rules are called must not become markup or wake a whole company.
import { createHmac } from 'node:crypto'
import type { AlertMessage } from '../../db/schema-watch.ts'
import type { Posted } from './post.ts'
import { cutBytes, cutLength, oneLine, plainText } from './words.ts'

export interface Chat {
  url: string
  /** what signs; of Telegram the bot's token */
  secret: string | undefined
  /** of Telegram */
  chat: string | undefined
}

type Format = (chat: Chat, message: AlertMessage, now: number) => Posted

export const chats: Record<'slack' | 'telegram' | 'feishu' | 'dingtalk' | 'wecom', Format> = {
  // docs.slack.dev, "Sending messages using incoming webhooks" and "Formatting message text": & < > are escaped, which
  // leaves no <!channel>; texts above 40,000 characters are cut, above 4,000 not advised. Good is 200 with "ok".
  slack({ url }, message) {
    const text = plainText(message).replace(/[&<>]/g, sign => ({ '&': '&amp;', '<': '&lt;' })[sign] ?? '&gt;')
    return {
      url,
      body: JSON.stringify({ text: cutLength(text, 4000), mrkdwn: false, unfurl_links: false }),
      accepted: () => undefined,
    }
  },

  // core.telegram.org/bots/api, sendMessage: 1 to 4096 characters; errors have "ok": false, an error_code and a description.
  telegram({ url, secret, chat }, message) {
    const base = url.replace(/\/+$/, '').replace(/\/sendMessage$/, '')
    const text = cutLength(plainText(message), 4096)
    return {
      url: `${secret === undefined ? base : `${base}/bot${secret}`}/sendMessage`,
      body: JSON.stringify({ chat_id: chat, text, link_preview_options: { is_disabled: true } }),
      accepted: body => fault(body, 'ok', said => said['ok'] === true, ['error_code', 'description']),
    }
  },

  // open.feishu.cn, "Custom bot guide": the key of the HMAC is `timestamp\nsecret`, in seconds, of no message; a body has
  // 20 KB at most; errors come with status 200 and a code (19021: signature or time, 19024: keywords, 9499, 11232: too often).
  feishu({ url, secret }, message, now) {
    const timestamp = String(Math.floor(now / 1000))
    const sign = secret && createHmac('sha256', `${timestamp}\n${secret}`).update('').digest('base64')
    // In its texts <at …> calls people.
    const text = cutBytes(plainText(message).replaceAll('<', '‹').replaceAll('>', '›'), 15_000)
    return {
      url,
      body: JSON.stringify({ ...(sign && { timestamp, sign }), msg_type: 'text', content: { text } }),
      accepted: body => fault(body, 'code', said => (said['code'] ?? said['StatusCode']) === 0, ['code', 'msg']),
    }
  },

  // open.dingtalk.com, "Custom robots: security settings" and "send messages": timestamp in ms and the Base64 of the HMAC of
  // `timestamp\nsecret` in the query; a body has 20,000 bytes at most; errors come with status 200 and an errcode
  // (310000: signature, keyword or address; 660026 or 130101: too often).
  dingtalk({ url, secret }, message, now) {
    const to = new URL(url)
    if (secret !== undefined) {
      to.searchParams.set('timestamp', String(now))
      to.searchParams.set('sign', createHmac('sha256', secret).update(`${now}\n${secret}`).digest('base64'))
    }
    const content = cutBytes(plainText(message), 15_000)
    return {
      url: to.href,
      body: JSON.stringify({ msgtype: 'text', text: { content }, at: { isAtAll: false } }),
      accepted: errcode,
    }
  },

  // developer.work.weixin.qq.com/document/path/91770: text has 2048 bytes at most; errors come with status 200 and an errcode
  // (93000: no such key, 45009: too often).
  wecom({ url }, message) {
    const content = cutBytes(plainText(message), 2048)
    return { url, body: JSON.stringify({ msgtype: 'text', text: { content } }), accepted: errcode }
  },
}

const errcode = (body: string): string | undefined =>
  fault(body, 'errcode', said => said['errcode'] === 0, ['errcode', 'errmsg'])

/** What an answer says that is none. */
function fault(
  body: string,
  needs: string,
  good: (said: Record<string, unknown>) => boolean,
  tells: readonly [code: string, words: string],
): string | undefined {
  let said: Record<string, unknown>
  try {
    said = Object(JSON.parse(body)) as Record<string, unknown>
  } catch {
    return `answered something that is not JSON, where ${needs} should be`
  }
  if (good(said)) return undefined
  const told = tells.map(name => said[name]).filter(value => value !== undefined)
  const words = oneLine(told.join(' '))
  return words === '' ? `answered without ${needs}` : `refused it: ${words}`
}

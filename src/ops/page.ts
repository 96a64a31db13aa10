// The status page at /ops/: one document with its style and script inside, allowed to run those and nothing else.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

export interface Page {
  html: string
  headers: Record<string, string>
}

const read = (name: string) => readFileSync(new URL(`./page/${name}`, import.meta.url), 'utf8')
const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

/** Read from src/ops/page/ once. It holds no figure: those it asks for, with the token. */
export function createPage(): Page {
  const style = read('page.css')
  const script = read('page.js')
  const html = read('page.html')
    .replace('<style></style>', () => `<style>${style}</style>`)
    .replace('<script></script>', () => `<script>${script}</script>`)
  return {
    html,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': [
        "default-src 'none'",
        `script-src ${hashOf(script)}`,
        `style-src ${hashOf(style)}`,
        "connect-src 'self'",
        'img-src data:',
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
      ].join('; '),
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    },
  }
}

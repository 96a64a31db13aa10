// A connection through one egress proxy, and one small request over it: what `gw proxy test` does.

import { Refusal } from '../lib/refusal.ts'
import { why } from '../lib/why.ts'
import type { Invocation } from './command.ts'

const TIMEOUT_MS = 15_000

/** Prints what came of it. @throws Refusal `missing`, `usage`, and `failure` when there was no connection */
export async function testProxy(gw: Invocation, ref: string, text: string): Promise<void> {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol))
    throw new Refusal('usage', `--url must be an http or https URL, got ${JSON.stringify(text)}`)
  const [{ loadProxy }, { ask }] = await Promise.all([import('../core/record/proxy.ts'), import('../egress/ask.ts')])
  const proxy = await loadProxy(await gw.db(), await gw.secret(), ref)
  const begun = performance.now()
  try {
    const { status, connectedMs } = await ask(
      { url, method: 'HEAD', headers: { 'user-agent': 'gw' } },
      { through: proxy, timeoutMs: TIMEOUT_MS },
    )
    const tested = {
      proxy: proxy.name,
      url: url.href,
      ok: true,
      status,
      connect_ms: Math.round(connectedMs),
      duration_ms: Math.round(performance.now() - begun),
    }
    gw.out.record(tested)
  } catch (error) {
    const reason = why(error)
    const duration_ms = Math.round(performance.now() - begun)
    gw.out.record({ proxy: proxy.name, url: url.href, ok: false, status: null, connect_ms: null, duration_ms, reason })
    throw new Refusal('failure', reason.startsWith('proxy ') ? reason : `proxy ${proxy.name}: ${reason}`)
  }
}

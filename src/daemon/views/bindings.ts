// The sessions and their accounts as this process bound them, as `gw sticky show` shows them.
import type { BindingView } from '../../control/view.ts'
import type { Gateway } from '../../gateway/gateway.ts'

export function bindingViews(gw: Gateway): BindingView[] {
  const oldest = gw.now() - gw.config['sticky.ttl']
  return [...gw.bindings.values()]
    .filter(b => b.at > oldest)
    .sort((a, b) => b.at - a.at)
    .map(b => ({
      session: b.session,
      model: b.model,
      key: b.key,
      group: b.group,
      account: gw.snapshot.accounts.get(b.account)?.name ?? `#${b.account}`,
      at: new Date(b.at).toISOString(),
    }))
}

// The guard of channels: there always is one; what it lets through the configuration says.
import { createGuard, type Guard } from './guard.ts'

export function notifyGuard(config: { readonly 'notify.allow_private': boolean }): Guard {
  return createGuard({ allowPrivate: config['notify.allow_private'], setting: 'notify.allow_private' })
}

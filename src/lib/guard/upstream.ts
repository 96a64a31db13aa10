// The guard of upstreams, where the configuration wants one.
import { createGuard, type Guard } from './guard.ts'

/** Undefined where accounts may have any base URL, which is the default: most relays stand in the own network. */
export function upstreamGuard(config: { readonly 'upstream.allow_private': boolean }): Guard | undefined {
  return config['upstream.allow_private']
    ? undefined
    : createGuard({ allowPrivate: false, setting: 'upstream.allow_private' })
}

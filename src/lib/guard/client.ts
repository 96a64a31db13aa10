// The guard of URLs that clients name: the public internet by https, and no setting allows more.
import { createGuard, type Guard } from './guard.ts'

export const clientGuard = (): Guard => createGuard({ allowPrivate: false })

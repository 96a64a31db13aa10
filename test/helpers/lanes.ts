// Every way to a provider beside one another: a group, an account and a key for each platform and dialect that an upstream speaks.
import { addAccount } from '../../src/core/record/account.ts'
import { addGroup, type NewGroup } from '../../src/core/record/group.ts'
import { createKey } from '../../src/core/record/key.ts'
import type { Step } from '../../src/mock/step.ts'
import type { TestGateway } from './gateway.ts'

export const laneNames = ['anthropic', 'openai-chat', 'openai-responses', 'gemini', 'antigravity'] as const
export type Lane = (typeof laneNames)[number]

export interface LaneSetup {
  /** where its account is; the scripted provider */
  baseUrl?: string
  group?: Partial<NewGroup>
  /** what the provider does for its accounts' credentials, each a new account */
  scripts?: (Step | Step[] | undefined)[]
  concurrency?: number
}

/** The credential of an account of a lane, by which the mock knows it. */
export const laneCredential = (lane: Lane, nth = 0) => `cred-${lane}-${nth}`

/** The platform of a lane. */
export const platformOf = (lane: Lane) => lane.split('-')[0] as 'anthropic' | 'openai' | 'gemini' | 'antigravity'

/** Keys of alice's, by lane; in force when they resolve. Models without a price are free unless the group says otherwise. */
export async function lanes(gw: TestGateway, setup: LaneSetup = {}, names: readonly Lane[] = laneNames) {
  const { db } = gw.database
  const keys = {} as Record<Lane, string>
  for (const lane of names) {
    const platform = platformOf(lane)
    await addGroup(db, { name: lane, platform, unknown_model: 'free', on_disconnect: 'abort', ...setup.group })
    for (const [nth, script] of (setup.scripts ?? [undefined]).entries()) {
      const credential = laneCredential(lane, nth)
      const oauth = platform === 'antigravity'
      await addAccount(db, gw.secret, {
        name: `${lane}-${nth}`,
        platform,
        type: oauth ? 'oauth' : 'apikey',
        credential: oauth ? JSON.stringify({ access_token: credential, project_id: 'proj-1' }) : credential,
        base_url: setup.baseUrl ?? gw.mock.url,
        concurrency: setup.concurrency ?? 0,
        priority: 50,
        groups: [lane],
        ...(platform === 'openai' ? { dialect: lane === 'openai-chat' ? 'chat' : 'responses' } : {}),
      })
      if (script) gw.mock.script(credential, script)
    }
    keys[lane] = (await createKey(db, gw.secret, { user: 'alice', group: lane, name: lane, valuePrefix: 'sk-' })).key
  }
  await gw.inForce()
  return keys
}

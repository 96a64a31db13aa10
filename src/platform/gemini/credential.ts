// What the JSON of an OAuth credential says: its token, and how its account is reached.
import type { Credential } from '../../core/credential.ts'

export interface OAuthFacts {
  token: string
  /** '' for none */
  project: string
  /** reached through Code Assist, and not by the public API */
  codeAssist: boolean
}

const known = new WeakMap<Credential, OAuthFacts>()

/** Read once for each credential: they are replaced, never changed. */
export function oauthOf(credential: Credential): OAuthFacts {
  let facts = known.get(credential)
  if (!facts) {
    const { access_token, project_id, oauth_type } = parsed(credential.reveal())
    const project = text(project_id)
    // Without a word about it a project says so (spec/domain.md §1.2).
    const codeAssist = text(oauth_type) === '' ? project !== '' : oauth_type === 'code_assist'
    facts = { token: text(access_token), project, codeAssist }
    known.set(credential, facts)
  }
  return facts
}

const text = (value: unknown) => (typeof value === 'string' ? value.trim() : '')

function parsed(secret: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(secret)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    // The error would quote it, and errors come into the log. Without a token the upstream says no, and the next account is asked.
    return {}
  }
}

// What an OAuth credential holds for the headers of a request.

export interface OauthToken {
  /** '' when there is none: the upstream says no, and the next account is asked */
  access: string
  /** the account or workspace that it is of, where the operator gave it; '' for none */
  account: string
}

export function oauthToken(credential: string): OauthToken {
  try {
    const said = JSON.parse(credential) as Record<string, unknown>
    const text = (name: string) => (typeof said[name] === 'string' ? (said[name] as string) : '')
    return { access: text('access_token'), account: text('account_id') || text('chatgpt_account_id') }
  } catch {
    // The error would quote it, and errors come into the log.
    return { access: '', account: '' }
  }
}

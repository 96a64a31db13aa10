// Reads an upstream credential from a file or stdin: never from a flag, where `ps` and the shell's history would see it.

import path from 'node:path'
import type { Command } from 'commander'
import { missingForRefresh, readOauth } from '../core/oauth/credential.ts'
import { readNamed, readStream } from '../lib/named-file.ts'
import { Refusal } from '../lib/refusal.ts'
import { why } from '../lib/why.ts'
import type { Shell } from './shell.ts'

export interface CredentialOptions {
  apiKeyFile?: string
  apiKeyStdin?: boolean
  oauthFile?: string
}

export interface Credential {
  type: 'apikey' | 'oauth'
  /** the key itself, or the JSON text of the tokens */
  credential: string
}

const flags = '--api-key-file FILE, --api-key-stdin or --oauth-file FILE'
// A token is a few kilobytes; a larger file is the wrong file.
const LARGEST = 64 * 1024

export function credentialOptions(command: Command): Command {
  return command
    .option('--api-key-file <file>', 'file that holds the API key')
    .option('--api-key-stdin', 'read the API key from stdin')
    .option(
      '--oauth-file <file>',
      'JSON file with access_token or refresh_token; to be refreshed also client_id and token_url',
    )
}

/**
 * The credential that the options point at, undefined when they point at none.
 * @throws Refusal `usage` when there are several, or when what is read is not a credential; never quotes what it read
 */
export async function readCredential(shell: Shell, options: CredentialOptions): Promise<Credential | undefined> {
  const { apiKeyFile, apiKeyStdin, oauthFile } = options
  const given = [apiKeyFile, apiKeyStdin, oauthFile].filter(option => option !== undefined).length
  if (given === 0) return undefined
  if (given > 1) throw new Refusal('usage', `give one credential only: ${flags}`)
  if (oauthFile !== undefined)
    return { type: 'oauth', credential: tokens(read(shell, '--oauth-file', oauthFile), oauthFile) }
  if (apiKeyFile !== undefined)
    return { type: 'apikey', credential: key(read(shell, '--api-key-file', apiKeyFile), apiKeyFile) }
  if (shell.stdin.isTTY) shell.stderr.write('paste the API key, then press Enter and Ctrl-D\n')
  return { type: 'apikey', credential: key(await fromStdin(shell), 'stdin') }
}

/** The client key of a file, or a refusal. */
export function readKeyFile(shell: Shell, flag: string, file: string): string {
  return key(read(shell, flag, file), file)
}

/** @throws Refusal `usage`: every account has a credential */
export async function requireCredential(shell: Shell, options: CredentialOptions): Promise<Credential> {
  const credential = await readCredential(shell, options)
  if (credential === undefined) throw new Refusal('usage', `a credential is needed: ${flags}`)
  return credential
}

export interface SecretOptions {
  loginFile?: string
  loginStdin?: boolean
}

/** One line that must not be seen, from where the options say; undefined when they say nothing. @throws Refusal `usage` */
export async function readSecret(shell: Shell, options: SecretOptions, what: string): Promise<string | undefined> {
  const { loginFile, loginStdin } = options
  if (loginFile === undefined && !loginStdin) return undefined
  if (loginFile !== undefined && loginStdin) throw new Refusal('usage', 'give --login-file or --login-stdin, not both')
  if (loginFile === undefined && shell.stdin.isTTY) shell.stderr.write(`paste ${what}, then press Enter and Ctrl-D\n`)
  const text = loginFile === undefined ? await fromStdin(shell) : read(shell, '--login-file', loginFile)
  const from = loginFile ?? 'stdin'
  const value = text.trim()
  if (value === '' || value.length > LARGEST || /\p{Cc}/u.test(value))
    throw new Refusal('usage', `${from} must hold ${what} on one line and nothing else`)
  return value
}

/** One line from stdin, such as a person pastes. @throws Refusal `usage` */
export async function readPasted(shell: Shell): Promise<string> {
  const text = (await fromStdin(shell)).trim()
  if (text === '' || text.length > LARGEST)
    throw new Refusal('usage', 'stdin must hold what the page showed, on one line')
  return text
}

function read(shell: Shell, flag: string, file: string): string {
  try {
    return readNamed(path.resolve(shell.cwd(), file))
  } catch (error) {
    throw new Refusal('usage', `${flag} ${file} cannot be read: ${why(error)}`, { cause: error })
  }
}

async function fromStdin({ stdin }: Shell): Promise<string> {
  try {
    return await readStream(stdin)
  } catch (error) {
    throw new Refusal('usage', `stdin cannot be read: ${why(error)}`, { cause: error })
  }
}

function key(content: string, from: string): string {
  const value = content.trim()
  if (value === '') throw new Refusal('usage', `${from} is empty; it must hold the API key`)
  // It travels in a header.
  if (value.length > LARGEST || !/^[!-~]+$/.test(value))
    throw new Refusal('usage', `${from} must hold one API key and nothing else: printable ASCII without spaces`)
  return value
}

function tokens(content: string, from: string): string {
  const value = content.trim()
  const read = readOauth(value)
  if (typeof read === 'string') throw new Refusal('usage', `${from} ${read}`)
  if (value.length > LARGEST) throw new Refusal('usage', `${from} is larger than the tokens of one account are`)
  return value
}

/** What will keep the token of such a credential from being refreshed, for a remark; undefined when nothing will. */
export function notRefreshed({ type, credential }: Credential): string | undefined {
  const read = type === 'oauth' ? readOauth(credential) : ''
  const missing = typeof read === 'string' ? undefined : missingForRefresh(read)
  return missing && `its token will not be refreshed, since the credential has no ${missing}`
}

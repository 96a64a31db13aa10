// Files of certificates and keys that settings name, and what is wrong with one.
import { X509Certificate } from 'node:crypto'
import { readNamed } from './named-file.ts'
import { Refusal } from './refusal.ts'
import { why } from './why.ts'

/** @param what the setting that names it. @throws Refusal `config` when it cannot be read */
export function pemIn(what: string, file: string): string {
  try {
    return readNamed(file)
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'is not there' : `cannot be read: ${why(error)}`
    throw new Refusal('config', `${what} ${file} ${reason}`, { cause: error })
  }
}

/**
 * The certificates of whom to trust. Node takes a file without one for nobody, and every server for a stranger.
 * @throws Refusal `config` when it cannot be read, or is none
 */
export function authorityIn(what: string, file: string): string {
  const pem = pemIn(what, file)
  try {
    new X509Certificate(pem)
  } catch (error) {
    const wanted = 'it must be that of the authority, as text (-----BEGIN CERTIFICATE-----)'
    throw new Refusal('config', `${what} ${file} holds no certificate; ${wanted}`, { cause: error })
  }
  return pem
}

// The installation's secret: encrypts upstream credentials at rest and keys the digests of client keys.

import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, unlinkSync, writeSync } from 'node:fs'
import path from 'node:path'
import { readNamed } from './named-file.ts'
import { Refusal } from './refusal.ts'
import { why } from './why.ts'

export interface Secret {
  /** AES-256-GCM; the result is `version(1) keyId(4) iv(12) tag(16) ciphertext`. */
  encrypt(plain: string): Buffer
  /** @throws Refusal when the bytes were made with another secret or were changed */
  decrypt(sealed: Uint8Array): string
  /** HMAC-SHA256 of a client key, for lookup */
  digest(clientKey: string): Buffer
  /** Tells one key from another and nothing about it, as 32 hexadecimal digits. */
  readonly fingerprint: string
}

const VERSION = 1
const CIPHER = 'aes-256-gcm'
const TAG_BYTES = 16
const ID_BYTES = 4

/**
 * Reads the key file, or creates it (0600, 32 random bytes as hex) at first use, unless there is a reason that it must be there.
 * @throws Refusal when it cannot be read or does not hold a key
 */
export function openSecret(file: string, { missing }: { missing?: string | undefined } = {}): Secret {
  let text: string
  try {
    text = readNamed(file).trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new Refusal(
        'unreachable',
        `secret.key_file ${file} cannot be read: ${why(error)}; run gw as the user that owns it`,
        { cause: error },
      )
    if (missing !== undefined)
      throw new Refusal(
        'config',
        `secret.key_file ${file} does not exist, and ${missing}; restore it from your backup`,
        { cause: error },
      )
    text = create(file)
  }
  if (!/^[0-9a-f]{64}$/i.test(text))
    throw new Refusal('config', `secret.key_file ${file} must hold 64 hexadecimal digits; restore it from your backup`)
  return secretFrom(Buffer.from(text, 'hex'))
}

/**
 * A secret for a file that is not there: nothing is written before `keep`, so that a command which is refused, or only tried, leaves none.
 * @throws Refusal from `keep`: `conflict` where another process made the file meanwhile, and as `openSecret`
 */
export function draftSecret(file: string): Secret & { keep(): void } {
  const hex = randomBytes(32).toString('hex')
  return {
    ...secretFrom(Buffer.from(hex, 'hex')),
    keep() {
      if (create(file, hex) !== hex)
        throw new Refusal('conflict', `secret.key_file ${file} was made by another gw at this moment; try again`)
    },
  }
}

// link(2) makes the finished file appear at once or not at all: two first starts agree on one secret.
function create(file: string, hex = randomBytes(32).toString('hex')): string {
  // Not named by pid: in a container that is the same at every start, and a killed start may have left its file.
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`
  try {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
    const fd = openSync(temporary, 'wx', 0o600)
    writeSync(fd, `${hex}\n`)
    fsyncSync(fd)
    closeSync(fd)
    try {
      linkSync(temporary, file)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    } finally {
      unlinkSync(temporary)
    }
  } catch (error) {
    throw new Refusal(
      'unreachable',
      `secret.key_file ${file} cannot be created: ${why(error)}; set data_dir or secret.key_file to a place this user may write`,
      { cause: error },
    )
  }
  return readNamed(file).trim()
}

/** The functions of a secret given as bytes; two keys are derived from it so that neither use weakens the other. */
export function secretFrom(master: Buffer): Secret {
  const sealing = Buffer.from(hkdfSync('sha256', master, '', 'gw credential encryption', 32))
  const digesting = Buffer.from(hkdfSync('sha256', master, '', 'gw client key digest', 32))
  const id = createHmac('sha256', sealing).update('id').digest()
  const keyId = id.subarray(0, ID_BYTES)
  return {
    fingerprint: id.toString('hex', 0, 16),
    encrypt(plain) {
      const iv = randomBytes(12)
      const cipher = createCipheriv(CIPHER, sealing, iv)
      const body = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()])
      return Buffer.concat([Buffer.of(VERSION), keyId, iv, cipher.getAuthTag(), body])
    },
    decrypt(bytes) {
      const sealed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      if (sealed[0] !== VERSION || !sealed.subarray(1, 5).equals(keyId))
        throw new Refusal(
          'config',
          'a stored credential was encrypted with another secret; restore secret.key_file from your backup',
        )
      try {
        // Or a shorter tag would do, which is easier to forge.
        const decipher = createDecipheriv(CIPHER, sealing, sealed.subarray(5, 17), { authTagLength: TAG_BYTES })
        decipher.setAuthTag(sealed.subarray(17, 17 + TAG_BYTES))
        return decipher.update(sealed.subarray(17 + TAG_BYTES), undefined, 'utf8') + decipher.final('utf8')
      } catch (error) {
        throw new Refusal('config', 'a stored credential was changed since gw encrypted it; set it again', {
          cause: error,
        })
      }
    },
    digest: clientKey => createHmac('sha256', digesting).update(clientKey).digest(),
  }
}

/** The beginning of the fingerprint of the key that sealed these bytes; undefined where they are none of ours. */
export function sealedWith(sealed: Uint8Array): string | undefined {
  return sealed[0] === VERSION ? Buffer.from(sealed.subarray(1, 1 + ID_BYTES)).toString('hex') : undefined
}

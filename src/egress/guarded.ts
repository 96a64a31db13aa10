// Guarded: node:http's agents for origins that somebody typed: whatever they connect to has passed the guard.
import http from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Guard } from '../lib/guard/guard.ts'

type Made = (error: Error | null, socket: Duplex) => void

/** Callers ask `guard.problem` of the URL before. */
export class PlainGuarded extends http.Agent {
  readonly #guard: Guard

  constructor(guard: Guard, options: http.AgentOptions) {
    super(options)
    this.#guard = guard
  }

  override createConnection(to: http.ClientRequestArgs, made?: Made): Duplex {
    return this.#guard.connect(lookup => super.createConnection({ ...to, lookup }, made) as Socket)
  }
}

/** The certificate must be that of the name, whatever its address. */
export class SecureGuarded extends https.Agent {
  readonly #guard: Guard

  constructor(guard: Guard, options: https.AgentOptions) {
    super(options)
    this.#guard = guard
  }

  override createConnection(to: https.RequestOptions, made?: Made): Duplex {
    return this.#guard.connect(
      lookup => super.createConnection({ ...to, lookup, rejectUnauthorized: true }, made) as Socket,
    )
  }
}

// The corridor: a request's whole way through the gateway, one room after the other.
import type { IncomingMessage } from 'node:http'
import type { Outcome } from '../core/outcome.ts'
import { Failure, toFailure } from '../lib/failure.ts'
import { admit } from './admit/admit.ts'
import { Bill } from './admit/bill.ts'
import { Downstream, type Response } from './answer/downstream.ts'
import { attempt, lookUp } from './ask/attempt.ts'
import { usageOf } from './enter/allowance.ts'
import { authenticate, type Caller } from './enter/authenticate.ts'
import { addressOf } from './enter/client.ts'
import { models } from './enter/models.ts'
import { oddity } from './enter/protocol.ts'
import { receive } from './enter/receive.ts'
import { findRoute, isMetered, tongueOf } from './enter/routes.ts'
import type { Gateway } from './gateway.ts'

/** Serves one request. Never throws; whatever happens the client gets an end and every slot is given back. */
export async function serve(gw: Gateway, req: IncomingMessage, res: Response): Promise<void> {
  const outcome = gw.outcomes.begin(req, addressOf(gw.config, req))
  if (gw.tracing) outcome.trace = gw.tracing.begin(req.headers)
  const down = new Downstream({
    req,
    res,
    ticket: outcome,
    dialect: tongueOf(req, outcome.path),
    stallMs: gw.config['timeouts.idle'],
    crowd: gw.live,
  })
  if (gw.draining || gw.drained) res.shouldKeepAlive = false
  try {
    const odd = oddity(req)
    if (odd) {
      res.shouldKeepAlive = false
      throw odd
    }
    await walk(gw, req, down, outcome)
    outcome.status = down.status
    if (down.status < 400) outcome.completion = outcome.error === '' ? 'complete' : down.spoken ? 'partial' : 'none'
  } catch (error) {
    const failure = down.interrupted ?? toFailure(error)
    outcome.status = failure.status
    outcome.failure = failure
    outcome.error = because(failure)
    if (down.spoken) outcome.completion = 'partial'
    if (failure.code === 'INTERNAL_ERROR')
      gw.log.error({ request_id: outcome.id, err: failure.cause }, 'internal error')
    down.fail(failure)
  } finally {
    // A drain waits for the bytes, not for us.
    down.leave()
    gw.outcomes.end(outcome)
  }
}

async function walk(gw: Gateway, req: IncomingMessage, down: Downstream, outcome: Outcome): Promise<void> {
  const found = findRoute(req, outcome.path)
  const { kind } = found.route
  outcome.route = found.route.path
  down.dialect = found.dialect
  if (gw.drained) {
    const why = gw.draining ? 'is shutting down' : 'takes no new requests at the moment'
    throw new Failure('DRAINING', [why], { retryAfterMs: COME_BACK_MS })
  }
  // Before a byte of the body is read: a stranger must not make us hold 100 MB.
  const caller = authenticate(gw, req, outcome.ip, found.route)
  note(outcome, caller)
  if (kind === 'models' || kind === 'model') return down.json(200, models(gw, caller, found))
  if (kind === 'usage') return down.json(200, await usageOf(gw, caller))
  const call = await receive(gw, req, found, down)
  outcome.receivedMs = gw.now() - outcome.at
  const { stream } = call
  const { model } = call.peek
  outcome.model = model
  outcome.stream = stream
  outcome.metered = isMetered(found.route)
  allowModel(caller, model)
  outcome.phase = 'admitting'
  if (stream) down.keepAlive(gw.config['queue.ping_interval'])
  // Counting tokens takes no place of the user's (spec/domain.md §11.4), and none at an account.
  if (kind === 'count') return attempt(gw, call, caller, down, outcome, await lookUp(gw, call, caller))
  using bill = new Bill(gw, call, caller, outcome)
  using slot = await admit(gw, caller, down, outcome)
  down.seat = slot
  const lookingUp = lookUp(gw, call, caller)
  await bill.reserve()
  await attempt(gw, call, caller, down, outcome, await lookingUp, bill)
}

function note(outcome: Outcome, { key, user, group, platform }: Caller): void {
  outcome.userId = user.id
  outcome.user = user.name
  outcome.keyId = key.id
  outcome.key = key.name
  outcome.platform = platform
  if (!group) return
  outcome.groupId = group.id
  outcome.group = group.name
  outcome.billing = group.billing
}

function allowModel(caller: Caller, model: string): void {
  const { models: allowed } = caller.key
  if (allowed.length > 0 && !allowed.includes(model)) throw new Failure('MODEL_NOT_ALLOWED', [model])
}

// By then a load balancer has seen it and asks others.
const COME_BACK_MS = 5_000

/** A failure in words for operators, with what caused it. */
export function because(failure: Failure): string {
  const { cause } = failure
  return cause instanceof Error ? `${failure.message} (${cause.message})` : failure.message
}

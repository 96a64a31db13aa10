// Keeps one of the objects in which Node queues what process.nextTick is given, so that V8 does not forget their shape.
import { createHook } from 'node:async_hooks'

let kept: object | undefined

/**
 * Between two turns of the event loop no such object is alive. A collection of old garbage that comes then takes their hidden class
 * along, and Node's object literal, whose keys are computed, has seen two classes from there on: each nextTick takes V8's slow path for as
 * long as the process lives. Of a small request to gw that is 2 to 3 % of the CPU (Node 24.21, V8 13.6; seen in profiles).
 * @returns what is kept; undefined where this Node shows no such object, and nothing is gained
 */
export function keepTick(): object | undefined {
  if (kept) return kept
  const hook = createHook({
    init(_id, type, _trigger, resource) {
      if (type === 'TickObject') kept = resource
    },
  })
  hook.enable()
  process.nextTick(() => {})
  hook.disable()
  return kept
}

// Makes the engine that the setting `upstream.engine` names.
import type { Engine, EngineOptions } from './engine.ts'

/** `auto` is the wire engine. The other's library is not even loaded then. */
export async function createEngine({
  engine,
  ...options
}: EngineOptions & { engine: 'auto' | 'wire' | 'proxy' }): Promise<Engine> {
  if (engine === 'proxy') return (await import('./proxy.ts')).createProxyEngine(options)
  return (await import('./wire.ts')).createWireEngine(options)
}

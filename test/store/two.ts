// Two stores on one Redis, each knowing of the other, for tests of what happens when it falls silent.
import type { Test } from 'tap'
import { createStore } from '../../src/store/open.ts'
import type { Store } from '../../src/store/store.ts'
import { type RedisServer, until } from '../helpers/redis.ts'

export async function two(t: Test, server: RedisServer, more: { processes?: number } = {}): Promise<[Store, Store]> {
  const open = async (processId: string) => {
    const store = await createStore({ redisUrl: server.url, processId, log: (_, line) => t.comment(line), ...more })
    t.teardown(() => store.close())
    return store
  }
  const pair: [Store, Store] = [await open('one'), await open('two')]
  if (more.processes === undefined)
    await until(t, 'the first has looked since the second came', async () => {
      const [last, first] = (await pair[0].holders(['processes'])).sort((a, b) => b.leftMs - a.leftMs)
      return last?.holder === 'one' && first?.holder === 'two'
    })
  return pair
}

export const inTrouble = (stores: Store[]) => stores.every(store => store.trouble() !== undefined)
export const well = (stores: Store[]) => stores.every(store => store.trouble() === undefined)

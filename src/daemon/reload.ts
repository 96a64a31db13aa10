// A reload: the configuration is read again, all of it is checked, and only then what may be applied is put in force.
import { existsSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import { type Difference, differences, merged } from '../config/difference.ts'
import { contradictions, type Loaded } from '../config/load.ts'
import { type Config, type SettingKey, settingKeys, shown } from '../config/schema.ts'
import type { ReloadView } from '../control/view.ts'
import { type NamedFiles, readNamedFiles } from '../core/named-files.ts'
import { Refusal } from '../lib/refusal.ts'
import { Late, within } from '../lib/within.ts'

/** Where a configuration comes from: what was read at the start, and how it is read again with the same flags and environment. */
export interface ConfigSource {
  first: Loaded
  /** @throws Refusal `config` */
  again(): Loaded
}

/**
 * Who keeps something that was made of settings, and makes it anew. All else reads `gateway.config` when it needs it, and has
 * nothing to do here.
 */
export interface Follower {
  /** what an operator calls it, should it fail */
  name: string
  /** what it is made of; it follows when that is another */
  from(config: Config, files: NamedFiles): unknown
  /** @returns what it did, where that is not plain from the settings */
  follow(config: Config, files: NamedFiles): readonly Told[] | Promise<readonly Told[]>
}

/** A sentence for the operator. */
export interface Told {
  level: 'info' | 'warn'
  line: string
}

/** A configuration that stays as it is. */
export function fixedSource(config: Config): ConfigSource {
  const origin = Object.fromEntries(settingKeys.map(key => [key, 'default'])) as Loaded['origin']
  const first = { config, origin, file: undefined }
  return { first, again: () => first }
}

export interface Reloads {
  /**
   * Reads and applies; `by`: who asked, for the log, which is told everything. Who asks while one is under way gets the one
   * after it, which reads what is there by then.
   * @throws Refusal `config` with every mistake, one a line; then nothing at all was applied
   */
  reload(by: string): Promise<ReloadView>
  /** What a reload would do now. @throws Refusal `config` */
  preview(): ReloadView
  /** That the last one was refused, or not all of it could be done, in words; undefined when neither is so. */
  trouble(): string | undefined
  state(): {
    file: string | undefined
    /** when what is in force was read, Unix ms */
    readAt: number
    /** why the last one was refused; undefined when it was not */
    refused: string | undefined
    /** settings that were changed and take a restart */
    restart: readonly SettingKey[]
  }
}

// Postgres may stand still, and a command waits for 5 s at most: for the reload that is under way, and for its own.
const PATIENCE_MS = 2_000

export function createReloads(options: {
  source: ConfigSource
  /** as they were read at the start */
  files: NamedFiles
  inForce: { config: Config }
  followers: readonly Follower[]
  /** nothing is begun any more */
  stopping: () => boolean
  log: Pick<Logger, 'info' | 'warn' | 'error'>
  now: () => number
  /** how long one of `followers` is waited for; default 2 s */
  patienceMs?: number
}): Reloads {
  const { source, inForce, followers, log, now, patienceMs = PATIENCE_MS } = options
  // Against the start, since what takes a restart is in force as it was then.
  const { config: atStart } = source.first
  let last = source.first
  let readAt = now()
  let refused: string | undefined
  let restart: readonly Difference[] = []
  const made = new Map(followers.map(one => [one, one.from(inForce.config, options.files)]))
  // The latest that each does, and of those that are not made of what is in force, why.
  const work = new Map<Follower, Promise<unknown>>()
  const behind = new Map<Follower, string>()
  let running: Promise<unknown> = Promise.resolve()
  let next: Promise<ReloadView> | undefined

  /** Everything that can go wrong with what was written goes wrong here, before anything is applied. */
  function read() {
    const loaded = source.again()
    // Somebody who replaces it in two steps, or moved it away, did not ask for the defaults.
    if (last.file !== undefined && loaded.file !== last.file && !existsSync(last.file))
      throw new Refusal(
        'config',
        `${last.file}: is there no more, and was read before; put it back (an empty one leaves everything at its default), or restart gw to go on without it`,
      )
    const files = readNamedFiles(loaded.config)
    const applied = differences(last.config, loaded.config, { reloadable: true })
    const config = merged(
      inForce.config,
      loaded.config,
      applied.map(({ key }) => key),
    )
    // What takes a restart stays as it is: with that, too, what is new has to go together.
    const clashes = contradictions(config, loaded.origin).map(({ blame, message }) => {
      const at = loaded.origin[blame]
      return `${at === 'default' ? '' : `${at} `}${blame}: ${message}; until a restart it is ${shown(blame, config[blame])}`
    })
    if (clashes.length > 0) throw new Refusal('config', clashes.join('\n'))
    return { loaded, files, config, applied, restart: differences(atStart, loaded.config, { reloadable: false }) }
  }

  const view = (found: ReturnType<typeof read>, more: Pick<ReloadView, 'told' | 'failed'>): ReloadView => {
    const { loaded, applied, restart } = found
    return { file: loaded.file ?? null, applied, restart, ...more }
  }

  async function once(by: string): Promise<ReloadView> {
    let found: ReturnType<typeof read>
    try {
      found = read()
    } catch (error) {
      refused = (error as Error).message
      for (const line of refused.split('\n')) log.error(`configuration: ${line}`)
      log.error(`${by}: nothing is applied, what was read before holds`)
      throw error
    }
    const { loaded, files, config } = found
    last = loaded
    readAt = now()
    refused = undefined
    restart = found.restart
    inForce.config = config
    // Before and after: log.level may be one of them.
    for (const { key, from, to } of found.applied) log.info(`configuration: ${key} is ${to}, was ${from}`)
    const outcome = { told: [] as string[], failed: [] as string[] }
    for (const follower of followers) {
      if (isDeepStrictEqual(follower.from(config, files), made.get(follower))) continue
      try {
        outcome.told.push(...(await within(patienceMs, follow(follower, config, files))).map(({ line }) => line))
      } catch (error) {
        const next = error instanceof Late ? 'it is still waited for' : 'gw reload tries again'
        behind.set(follower, `${follower.name}: ${(error as Error).message}; ${next}`)
      }
    }
    outcome.failed.push(...behind.values())
    const done = view(found, outcome)
    tell(by, done)
    return done
  }

  /**
   * Whoever did not come in time may come late: then it is one behind the other, so that it cannot undo what came after it, and
   * of those that wait only the last is done.
   */
  function follow(follower: Follower, config: Config, files: NamedFiles): Promise<readonly Told[]> {
    // Until it is done it is made of neither: the next reload tries again.
    made.delete(follower)
    const own: Promise<readonly Told[]> = Promise.resolve(work.get(follower)).then(async () => {
      if (work.get(follower) !== settled) return []
      const told = await follower.follow(config, files)
      for (const { level, line } of told) log[level](line)
      if (work.get(follower) === settled) {
        made.set(follower, follower.from(config, files))
        behind.delete(follower)
      }
      return told
    })
    const settled = own.catch(() => {})
    work.set(follower, settled)
    return own
  }

  function tell(by: string, { file, applied, restart, told, failed }: ReloadView): void {
    for (const { key, from, to } of restart)
      log.warn(`configuration: ${key} is ${from} until a restart, then ${to}; it cannot be reloaded`)
    for (const line of failed) log.warn(`configuration: ${line}`)
    const counts = {
      file: file ?? 'defaults',
      applied: applied.map(one => one.key),
      restart: restart.map(one => one.key),
    }
    log.info(counts, `${by}: ${applied.length + told.length === 0 ? 'nothing changed' : 'reloaded'}`)
  }

  return {
    async reload(by) {
      next ??= running.then(() => {
        next = undefined
        if (options.stopping()) {
          log.info(`${by}: gw is starting or stopping; nothing is reloaded`)
          throw new Refusal('refused', 'gw is starting or stopping; nothing is reloaded')
        }
        const one = once(by)
        running = one.catch(() => {})
        return one
      })
      return next
    },
    preview: () => view(read(), { told: [], failed: [] }),
    trouble() {
      const [first, ...others] = refused?.split('\n') ?? []
      const more = others.length === 0 ? '' : ` and ${others.length} more`
      if (first) return `the last reload was refused, what was read before holds (${first}${more}; gw config check)`
      return behind.size > 0 ? `not all of the last reload is done: ${[...behind.values()].join(', ')}` : undefined
    },
    state: () => ({ file: last.file, readAt, refused, restart: restart.map(({ key }) => key) }),
  }
}

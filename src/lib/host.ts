// How much of its CPU and memory is used where this process runs: of its cgroup where that has a limit, else of the host.
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'

export interface HostUsage {
  /** since the last reading, of what may be used; null at the first one, and where the system does not tell */
  cpuPercent: number | null
  memoryUsed: number | null
  /** bytes */
  memoryTotal: number | null
}

interface Cgroup {
  /** CPUs that may be used at once; undefined: no limit */
  cpus: number | undefined
  /** ms of CPU used so far */
  cpuMs(): number | undefined
  memory: { used(): number; total: number } | undefined
}

/** Reads again and again; `root` is where the file system begins, for tests. */
export function hostReader(root = '/', clock: () => number = () => performance.now()): () => HostUsage {
  let before: { busyMs: number; at: number } | undefined
  return () => {
    const cgroup = readCgroup(root)
    const at = clock()
    const [busyMs, cpus] =
      cgroup.cpus === undefined ? [hostBusyMs(root), hostCpus(root)] : [cgroup.cpuMs(), cgroup.cpus]
    let cpuPercent: number | null = null
    if (busyMs !== undefined) {
      if (before && at > before.at) {
        const share = (busyMs - before.busyMs) / ((at - before.at) * cpus)
        cpuPercent = Math.min(100, Math.max(0, share * 100))
      }
      before = { busyMs, at }
    }
    const host = hostMemory(root)
    const { memory } = cgroup
    // A limit beyond what the host has is none.
    if (memory && (!host || memory.total <= host.total))
      return { cpuPercent, memoryUsed: Math.min(memory.used(), memory.total), memoryTotal: memory.total }
    return { cpuPercent, memoryUsed: host?.used ?? null, memoryTotal: host?.total ?? null }
  }
}

function read(...parts: string[]): string | undefined {
  try {
    return readFileSync(path.join(...parts), 'utf8')
  } catch {
    return undefined
  }
}

const number = (text: string | undefined): number | undefined => {
  const value = Number(text?.trim())
  return text === undefined || text.trim() === '' || Number.isNaN(value) ? undefined : value
}

const field = (text: string | undefined, name: string): number | undefined =>
  number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text ?? '')?.[1])

/** Version 2 has one tree for all, version 1 one for each controller; both may be mounted, and the limits are in one of them. */
function readCgroup(root: string): Cgroup {
  const lines = (read(root, 'proc/self/cgroup') ?? '').split('\n').map(line => line.split(':'))
  const of = (controller: string) => lines.find(([, names]) => names?.split(',').includes(controller))?.[2]
  const cpuV1 = of('cpu')
  const memoryV1 = of('memory')
  const unified = lines.find(([number, names]) => number === '0' && names === '')?.[2] ?? '/'
  const cpu = cpuV1 === undefined ? cpuV2(root, unified) : cpuOfV1(root, cpuV1)
  const memory = memoryV1 === undefined ? memoryV2(root, unified) : memoryOfV1(root, memoryV1)
  return { ...cpu, memory }
}

/**
 * The folders of a cgroup and those around it, innermost first. In a container the path may be the host's, of which nothing is
 * mounted: then only the outermost is there, and it is the container's own.
 */
function around(mount: string, inner: string): string[] {
  const folders: string[] = []
  for (let at = path.posix.normalize(`/${inner}`); ; at = path.posix.dirname(at)) {
    folders.push(path.join(mount, at))
    if (at === '/') return folders
  }
}

/** The tightest of limits, with the folder that has it. */
function tightest(folders: readonly string[], limit: (folder: string) => number | undefined) {
  let found: { folder: string; limit: number } | undefined
  for (const folder of folders) {
    const here = limit(folder)
    if (here !== undefined && (!found || here < found.limit)) found = { folder, limit: here }
  }
  return found
}

function cpuV2(root: string, inner: string): Omit<Cgroup, 'memory'> {
  const found = tightest(around(path.join(root, 'sys/fs/cgroup'), inner), folder => {
    const [quota, period] = (read(folder, 'cpu.max') ?? 'max').trim().split(' ')
    return quota === 'max' ? undefined : Number(quota) / Number(period ?? 100_000)
  })
  return {
    cpus: found?.limit,
    cpuMs: () => scaled(field(read(found!.folder, 'cpu.stat'), 'usage_usec'), 1e-3),
  }
}

function cpuOfV1(root: string, inner: string): Omit<Cgroup, 'memory'> {
  const mount = ['cpu,cpuacct', 'cpu'].map(name => path.join(root, 'sys/fs/cgroup', name))
  const found = tightest(
    mount.flatMap(each => around(each, inner)),
    folder => {
      const quota = number(read(folder, 'cpu.cfs_quota_us'))
      const period = number(read(folder, 'cpu.cfs_period_us'))
      return quota === undefined || period === undefined || quota <= 0 ? undefined : quota / period
    },
  )
  return {
    cpus: found?.limit,
    cpuMs: () => scaled(number(read(found!.folder, 'cpuacct.usage')), 1e-6),
  }
}

const scaled = (value: number | undefined, by: number) => (value === undefined ? undefined : value * by)

// Pages of files that nobody uses now are given back before anything is refused: they are not used memory, as Docker has it, too.
function memoryV2(root: string, inner: string): Cgroup['memory'] {
  const found = tightest(around(path.join(root, 'sys/fs/cgroup'), inner), folder => number(read(folder, 'memory.max')))
  if (!found) return undefined
  const used = () =>
    (number(read(found.folder, 'memory.current')) ?? 0) -
    (field(read(found.folder, 'memory.stat'), 'inactive_file') ?? 0)
  return { used, total: found.limit }
}

function memoryOfV1(root: string, inner: string): Cgroup['memory'] {
  const found = tightest(around(path.join(root, 'sys/fs/cgroup/memory'), inner), folder =>
    number(read(folder, 'memory.limit_in_bytes')),
  )
  if (!found) return undefined
  const used = () =>
    (number(read(found.folder, 'memory.usage_in_bytes')) ?? 0) -
    (field(read(found.folder, 'memory.stat'), 'total_inactive_file') ?? 0)
  return { used, total: found.limit }
}

/** Ticks are hundredths of a second on every Linux that Node runs on. */
function hostBusyMs(root: string): number | undefined {
  const line = /^cpu +(.+)$/m.exec(read(root, 'proc/stat') ?? '')
  if (!line) return undefined
  const [user = 0, nice = 0, system = 0, _idle, _wait, irq = 0, softirq = 0, steal = 0] = line[1]!
    .split(' ')
    .map(Number)
  return (user + nice + system + irq + softirq + steal) * 10
}

const hostCpus = (root: string): number =>
  (read(root, 'proc/stat') ?? '').match(/^cpu\d+ /gm)?.length ?? availableParallelism()

function hostMemory(root: string): { used: number; total: number } | undefined {
  const text = read(root, 'proc/meminfo') ?? ''
  const kb = (name: string) => number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(text)?.[1])
  const [total, available] = [kb('MemTotal'), kb('MemAvailable')]
  if (total === undefined || available === undefined) return undefined
  return { used: (total - available) * 1024, total: total * 1024 }
}

// What the kernel says of processes: CPU time and memory, summed over what a gateway is made of.
import { readdirSync, readFileSync } from 'node:fs'

export interface Process {
  pid: number
  parent: number
  name: string
  command: string
  /** user and system time of all its threads, µs */
  cpuUs: number
  /** of its children that have ended, µs */
  reapedUs: number
  rssBytes: number
}

const TICK_US = 10_000 // sysconf(_SC_CLK_TCK) is 100 on every Linux there is
const PAGE = 4096

export function processes(): Process[] {
  return readdirSync('/proc').flatMap(name => (/^\d+$/.test(name) ? (read(Number(name)) ?? []) : []))
}

function read(pid: number): Process | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')
    const after = stat.lastIndexOf(')')
    const fields = stat
      .slice(after + 2)
      .split(' ')
      .map(Number)
    const [utime = 0, stime = 0, cutime = 0, cstime = 0] = fields.slice(11, 15)
    return {
      pid,
      parent: fields[1]!,
      name: stat.slice(stat.indexOf('(') + 1, after),
      command,
      cpuUs: (utime + stime) * TICK_US,
      reapedUs: (cutime + cstime) * TICK_US,
      rssBytes: fields[21]! * PAGE,
    }
  } catch {
    return // it has just ended
  }
}

export interface Use {
  /** of the gateway's process and what it forked, without Postgres */
  cpuUs: number
  /** of the Postgres below the data dir, its sessions and workers, ended ones too */
  postgresUs: number
  rssBytes: number
}

/** What a gateway has used so far; its Postgres is known by the data dir in its command line. */
export function use(pid: number, dataDir?: string): Use {
  const all = processes()
  const postmaster = dataDir && all.find(p => p.name === 'postgres' && p.command.includes(`${dataDir}/`))
  const postgres = postmaster ? [postmaster, ...all.filter(p => p.parent === postmaster.pid)] : []
  const own = descendants(pid, all).filter(p => p.name !== 'postgres')
  const sum = (list: Process[], of: (p: Process) => number) => list.reduce((total, p) => total + of(p), 0)
  return {
    cpuUs: sum(own, p => p.cpuUs),
    postgresUs: sum(postgres, p => p.cpuUs) + (postmaster ? postmaster.reapedUs : 0),
    rssBytes: sum(own, p => p.rssBytes),
  }
}

function descendants(pid: number, all: Process[]): Process[] {
  const family = all.filter(p => p.pid === pid)
  for (const p of family) family.push(...all.filter(child => child.parent === p.pid && child.name !== 'postgres'))
  return family
}

// CPU and memory of where gw runs: a container's own limits where it has them, else the host's.
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { hostReader } from '../../../src/lib/host.ts'

const MB = 1024 * 1024

function system(t: Test, files: Record<string, string>) {
  const root = t.testdir({})
  const write = (name: string, text: string) => {
    const file = path.join(root, name)
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  write('proc/stat', 'cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 50 0 50 400 0 0\ncpu1 50 0 50 400 0 0\n')
  write('proc/meminfo', 'MemTotal:        8388608 kB\nMemFree: 1 kB\nMemAvailable:    6291456 kB\n')
  for (const [name, text] of Object.entries(files)) write(name, text)
  let now = 0
  const read = hostReader(root, () => now)
  return {
    read,
    write,
    pass(ms: number) {
      now += ms
    },
  }
}

t.test('without limits it is the host', async t => {
  const { read, write, pass } = system(t, {
    'proc/self/cgroup': '0::/user.slice\n',
    'sys/fs/cgroup/user.slice/cpu.max': 'max 100000\n',
    'sys/fs/cgroup/user.slice/memory.max': 'max\n',
  })
  t.strictSame(read(), { cpuPercent: null, memoryUsed: 2048 * MB, memoryTotal: 8192 * MB })
  write('proc/stat', 'cpu  150 0 150 900 0 0 0 0 0 0\ncpu0 75 0 75 450 0 0\ncpu1 75 0 75 450 0 0\n')
  pass(1_000)
  t.equal(read().cpuPercent, 50, 'one of two CPUs')
})

t.test('cgroup version 2: the tightest limit of those around, and no pages of files', async t => {
  const { read, write, pass } = system(t, {
    'proc/self/cgroup': '0::/system.slice/gw.service\n',
    'sys/fs/cgroup/system.slice/gw.service/cpu.max': '50000 100000\n',
    'sys/fs/cgroup/system.slice/gw.service/cpu.stat': 'usage_usec 1000000\nuser_usec 1\n',
    'sys/fs/cgroup/system.slice/gw.service/memory.max': 'max\n',
    'sys/fs/cgroup/system.slice/memory.max': `${512 * MB}\n`,
    'sys/fs/cgroup/system.slice/memory.current': `${300 * MB}\n`,
    'sys/fs/cgroup/system.slice/memory.stat': `anon 5\ninactive_file ${100 * MB}\n`,
  })
  t.strictSame(read(), { cpuPercent: null, memoryUsed: 200 * MB, memoryTotal: 512 * MB })
  write('sys/fs/cgroup/system.slice/gw.service/cpu.stat', 'usage_usec 1250000\n')
  pass(1_000)
  t.equal(read().cpuPercent, 50, 'a quarter of a CPU is half of the half that it may use')
})

t.test('cgroup version 2 in a container: its own is the outermost', async t => {
  const { read } = system(t, {
    'proc/self/cgroup': '0::/docker/0123\n',
    'sys/fs/cgroup/memory.max': `${64 * MB}\n`,
    'sys/fs/cgroup/memory.current': `${16 * MB}\n`,
  })
  t.strictSame(read(), { cpuPercent: null, memoryUsed: 16 * MB, memoryTotal: 64 * MB })
})

t.test('cgroup version 1, where no limit is a number beyond all memory', async t => {
  const { read, write, pass } = system(t, {
    'proc/self/cgroup': '5:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n',
    'sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us': '200000\n',
    'sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us': '100000\n',
    'sys/fs/cgroup/cpu,cpuacct/docker/1/cpuacct.usage': '0\n',
    'sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes': '9223372036854771712\n',
  })
  t.strictSame(read(), { cpuPercent: null, memoryUsed: 2048 * MB, memoryTotal: 8192 * MB })
  write('sys/fs/cgroup/cpu,cpuacct/docker/1/cpuacct.usage', `${500 * 1e6}\n`)
  write('sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes', `${256 * MB}\n`)
  write('sys/fs/cgroup/memory/docker/1/memory.usage_in_bytes', `${200 * MB}\n`)
  write('sys/fs/cgroup/memory/docker/1/memory.stat', `total_inactive_file ${50 * MB}\n`)
  pass(1_000)
  t.strictSame(read(), { cpuPercent: 25, memoryUsed: 150 * MB, memoryTotal: 256 * MB })
})

t.test('where the system tells nothing, nothing is made up', async t => {
  t.strictSame(hostReader(t.testdir({}))(), { cpuPercent: null, memoryUsed: null, memoryTotal: null })
})

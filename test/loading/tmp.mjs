// Temporary files of tests are in memory, where the machine has room for them: each gateway has a database of its own, of
// five hundred files, and a disk takes half of the time of a test to make them and to forget them again.
import { accessSync, constants, readFileSync, statfsSync } from 'node:fs'

const memory = '/dev/shm'
const room = 4 * 2 ** 30

if (!process.env.TMPDIR && isRoomy()) process.env.TMPDIR = memory

function isRoomy() {
  try {
    accessSync(memory, constants.W_OK | constants.X_OK)
    const { bavail, bsize } = statfsSync(memory)
    // Some machines have it so that no program there is run.
    const mount = readFileSync('/proc/mounts', 'utf8').match(/^\S+ \/dev\/shm tmpfs (\S+)/m)
    return bavail * bsize > room && mount !== null && !mount[1].split(',').includes('noexec')
  } catch {
    return false
  }
}

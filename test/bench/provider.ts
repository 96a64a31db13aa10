// The scripted provider in a process of its own, recording nothing.
import { startMock } from '../../src/mock/server.ts'

const mock = await startMock({ record: false })
console.log(mock.url)
process.on('SIGTERM', () => void mock.close())

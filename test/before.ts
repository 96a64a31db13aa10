// Before all test files: the one Postgres that they share is started once.
import { startForAll } from './helpers/postgres.ts'

await startForAll()

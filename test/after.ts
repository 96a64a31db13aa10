// After all test files: their Postgres is stopped.
import { stopForAll } from './helpers/postgres.ts'

await stopForAll()

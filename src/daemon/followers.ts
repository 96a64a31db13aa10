// What of a worker was made of settings, and is made anew when a reload changed them.
import type { Server } from 'node:http'
import type { Logger } from 'pino'
import type { Database } from '../db/connect.ts'
import { overrideModels } from '../dialect/middle/models.ts'
import { headLimits, limitHeads } from '../gateway/door.ts'
import { rulesOfFiles } from './alerts.ts'
import type { Jobs } from './jobs.ts'
import { keepOf } from './keep.ts'
import type { Follower } from './reload.ts'

export function followersOf(of: {
  log: Logger
  access: Logger
  /** for clients */
  server: Server
  database: Database
  jobs: Pick<Jobs, 'begin'>
}): Follower[] {
  return [
    {
      name: 'log.level',
      from: config => config['log.level'],
      follow(config) {
        of.log.level = of.access.level = config['log.level']
        return []
      },
    },
    {
      name: 'heads of requests',
      from: headLimits,
      follow(config) {
        limitHeads(of.server, config)
        return []
      },
    },
    {
      name: 'models.file',
      from: (_, files) => files.models,
      follow(_, { models }) {
        overrideModels(models)
        return [{ level: 'info', line: 'models.file: what models can do is as it says now' }]
      },
    },
    {
      name: 'alerts.file',
      from: (_, files) => files.rules,
      follow: (_, { rules }) => rulesOfFiles(of.database, rules),
    },
    // Not only tomorrow: who lowers them may want the disk.
    {
      name: 'retention',
      from: keepOf,
      follow() {
        of.jobs.begin('retention')
        return []
      },
    },
  ]
}

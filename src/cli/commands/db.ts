// gw db: the schema of the database.
import type { Command } from 'commander'
import type { Act } from '../command.ts'
import { examples, writes } from '../declare.ts'

export function define(noun: Command, act: Act): void {
  noun.description('The database is embedded in data_dir, or the Postgres of database.url.')
  examples(noun, ['gw db status', 'gw db migrate --dry-run'])

  writes(noun.command('migrate'))
    .description('bring the schema up to date, as every other command does by itself')
    .action(
      act(async gw => {
        const database = await gw.database({ migrate: !gw.dryRun })
        const applied = gw.dryRun ? await pending(database.connection) : database.migrated
        const last = applied.at(-1)
        gw.out.print({ applied }, last === undefined ? 'the schema is up to date' : `applied ${applied.join(', ')}`)
        if (gw.dryRun) gw.out.note('dry run: nothing changed')
      }),
    )

  noun
    .command('status')
    .description('which database it is, and which migrations it has')
    .action(
      act(async gw => {
        const [config, database] = [await gw.config(), await gw.database({ migrate: false })]
        const [{ shown }, { migrationStatus }] = await Promise.all([
          import('../../config/schema.ts'),
          import('../../db/migrate.ts'),
        ])
        const { version } = await database.db
          .selectNoFrom(eb => eb.fn<string>('current_setting', [eb.val('server_version')]).as('version'))
          .executeTakeFirstOrThrow()
        const migrations = await migrationStatus(database.connection)
        const waiting = migrations.filter(({ applied_at }) => applied_at === null).length
        const where = database.embedded
          ? { kind: 'embedded', data_dir: config['data_dir'] }
          : { kind: 'external', url: shown('database.url', config['database.url']) }
        const head = { ...where, server_version: version, pending: waiting }
        if (gw.out.json) return gw.out.print({ ...head, migrations }, '')
        gw.out.record(head)
        gw.out.list(
          migrations,
          ({ name, applied_at }) => ({
            migration: name,
            state: applied_at === null ? 'pending' : 'applied',
            applied: applied_at === null ? null : new Date(applied_at),
          }),
          'no migrations',
        )
        if (waiting > 0) gw.out.note('gw db migrate applies what is pending; so does every other command')
      }),
    )
}

async function pending(
  connection: Parameters<typeof import('../../db/migrate.ts').migrationStatus>[0],
): Promise<string[]> {
  const { migrationStatus } = await import('../../db/migrate.ts')
  return (await migrationStatus(connection)).filter(({ applied_at }) => applied_at === null).map(({ name }) => name)
}

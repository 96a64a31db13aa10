// gw ops overview: the first look at how gw does.
import { overview as query } from '../../core/watch/overview.ts'
import { HOUR, spanOf } from '../../core/watch/range.ts'
import { reading } from '../../core/watch/reading.ts'
import { scopeOf } from '../../core/watch/scope.ts'
import { round } from '../../core/watch/sums.ts'
import type { Invocation } from '../command.ts'
import { type Filters, filterOf, percent, quantiles, type Span } from './figures.ts'

export async function overview(gw: Invocation, options: Filters & Span): Promise<void> {
  const span = spanOf(options, HOUR, Date.now())
  const [{ db }, config] = [await gw.database(), await gw.config()]
  const more = {
    redis: config['redis.url'] !== undefined,
    poolSize: config['database.pool_size'],
    intervalMs: config['ops.interval'],
  }
  const found = await reading(db, async tx => query(tx, span, await scopeOf(tx, filterOf(options)), more))
  const { sla, qps, tps, latency, ttft, errors, resources, system_status: system } = found
  const top = errors.top_error
  gw.out.record(found, {
    health: `${found.health_score} of 100`,
    since: found.since,
    sla: `${percent(sla.current)} (${sla.threshold} % wanted), ${sla.status}, ${sla.trend}`,
    requests: `${found.requests.total}, ${found.requests.client_errors} of them refused or wrong`,
    'requests/s': `${qps.current}, at most ${qps.peak_1h}, ${qps.avg_1h} on average, ${qps.change_vs_yesterday} % against yesterday`,
    'tokens/s': `${tps.current}, at most ${tps.peak_1h}, ${tps.avg_1h} on average`,
    'first token': `${quantiles(ttft)}, ${ttft.status}`,
    'whole answer': `${quantiles(latency)}, ${latency.status}`,
    errors: `${errors.total_count} (${percent(errors.error_rate)}): ${errors['4xx_count']} 4xx, ${errors['5xx_count']} 5xx, ${errors.timeout_count} timeouts`,
    'most frequent': top && `${top.count} × ${top.code} ${top.message}`,
    tokens: `${found.tokens.input} in, ${found.tokens.output} out`,
    cost: found.tokens.cost,
    cpu: percent(resources.cpu_usage),
    memory: percent(resources.memory_usage),
    disk: percent(resources.disk_usage),
    'event loop':
      resources.event_loop_lag_p99_ms === null ? null : `p99 ${round(resources.event_loop_lag_p99_ms, 1)} ms late`,
    'under way': `${resources.in_flight ?? '-'}, ${resources.queue_depth ?? '-'} waiting`,
    'database connections': `${resources.db_connections.active ?? '-'} in use of ${resources.db_connections.max}`,
    processes: `${resources.processes} on ${resources.nodes} node${resources.nodes === 1 ? '' : 's'}`,
    database: system.database,
    redis: system.redis,
    jobs: system.jobs.length === 0 ? system.background_jobs : `${system.background_jobs}: ${system.jobs.join('; ')}`,
  })
}

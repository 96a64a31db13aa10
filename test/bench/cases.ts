// The cases of the bench: what each measures, as rows of its tables.

import { compare, translated } from './compare.ts'
import { changed, grown } from './growth.ts'
import type { Lab } from './lab.ts'
import { beginning, memory } from './life.ts'
import { withRedis } from './redis.ts'
import { stall } from './stall.ts'
import type { Row } from './table.ts'

export interface Case {
  /** what must be there beside the small sites */
  needs?: 'large' | 'others'
  /** what it takes in a quick run of one checkout */
  quickMs: number
  /** not in a quick run, unless it is named */
  slow?: boolean
  run(lab: Lab): Promise<Row[]>
}

/** In this order: a process is measured while it is fresh, and what loads it warms it for what comes next. */
export const cases: Record<string, Case> = {
  start: { quickMs: 8_000, run: beginning },
  memory: { quickMs: 8_000, run: memory },
  json: {
    needs: 'others',
    quickMs: 12_000,
    run: lab => compare(lab, { what: 'JSON 1 KB, c 16', shape: 'json', connections: 16, warm: 30_000, others: true }),
  },
  json128: {
    slow: true,
    quickMs: 8_000,
    run: lab => compare(lab, { what: 'JSON 1 KB, c 128', shape: 'json', connections: 128, warm: 30_000 }),
  },
  sse: {
    needs: 'others',
    quickMs: 8_000,
    run: lab =>
      compare(lab, { what: 'SSE of 64 deltas, c 16', shape: 'sse', connections: 16, warm: 15_000, others: true }),
  },
  translated: { quickMs: 16_000, run: translated },
  big: {
    needs: 'others',
    quickMs: 8_000,
    run: lab => compare(lab, { what: '400 KB bodies, c 8', shape: 'big', connections: 8, warm: 5_000, others: true }),
  },
  paced: { quickMs: 12_000, run: lab => stall(lab, 512) },
  paced1024: { quickMs: 12_000, slow: true, run: lab => stall(lab, 1_024) },
  redis: { quickMs: 12_000, run: withRedis },
  size: { needs: 'large', slow: true, quickMs: 12_000, run: grown },
  change: { needs: 'large', slow: true, quickMs: 12_000, run: changed },
}

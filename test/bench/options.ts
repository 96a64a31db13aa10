// The command line of `npm run bench`.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { cases } from './cases.ts'

const slow = Object.keys(cases).filter(name => cases[name]!.slow)

export const help = `Usage: npm run bench -- [options]

  --quick          at most 90 s for one checkout, at the price of noise and without the slow cases:
                   ${slow.join(', ')}
  --case NAME      only this case; repeat it, or separate several with commas: ${Object.keys(cases).join(', ')}
  --gw [NAME=]DIR  a checkout of gw to measure; repeat it to compare several in one run; default: this one
  --processes N    processes of each checkout that are measured together; default 1. Compiling and collecting
                   garbage, two processes of one program may differ by a tenth: compare two checkouts with 3
  --others         nginx and HAProxy beside it, where installed; without --quick they always are, unless checkouts are compared
  --rounds N       slices of each gateway; default 5, quick 2
  --seconds S      length of a slice; default 4, quick 0.8
  --warm S         longest time a gateway is warmed in a case; default 60, quick 4
  --json FILE      write all that was found there, too
  --write          put the tables into docs/benchmarks.md
`

export interface Options {
  quick: boolean
  cases: string[]
  checkouts: { name: string; dir: string }[]
  processes: number
  others: boolean
  rounds: number
  sliceMs: number
  warmMs: number
  json?: string
  write: boolean
}

/** @throws Error with one line that says what is wrong */
export function options(args: string[]): Options | 'help' {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      case: { type: 'string', multiple: true, default: [] },
      gw: { type: 'string', multiple: true, default: [path.join(import.meta.dirname, '../..')] },
      processes: { type: 'string' },
      others: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      warm: { type: 'string' },
      json: { type: 'string' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return 'help'
  const { quick } = values
  const wanted = values.case.flatMap(names => names.split(','))
  const unknown = wanted.find(name => !(name in cases))
  if (unknown) throw new Error(`--case must be one of ${Object.keys(cases).join(', ')}, got "${unknown}"`)
  const checkouts = named(values.gw)
  return {
    quick,
    cases: Object.keys(cases).filter(name =>
      wanted.length > 0 ? wanted.includes(name) : !(quick && cases[name]!.slow),
    ),
    checkouts,
    processes: positive('--processes', values.processes, 1),
    others: values.others || (!quick && checkouts.length === 1),
    rounds: positive('--rounds', values.rounds, quick ? 2 : 5),
    sliceMs: 1_000 * positive('--seconds', values.seconds, quick ? 0.8 : 4),
    warmMs: 1_000 * positive('--warm', values.warm, quick ? 4 : 60),
    ...(values.json === undefined ? {} : { json: values.json }),
    write: values.write,
  }
}

/** A checkout is called after its folder unless it was given a name. */
function named(checkouts: string[]): Options['checkouts'] {
  const list = checkouts.map(text => {
    const [, name, dir] = /^(?:([\w-]+)=)?(.+)$/.exec(text)!
    const absolute = path.resolve(dir!)
    if (!existsSync(path.join(absolute, 'bin/gw'))) throw new Error(`--gw ${text}: there is no bin/gw in ${absolute}`)
    return { name: name ?? (checkouts.length === 1 ? 'gw' : path.basename(absolute)), dir: absolute }
  })
  const twice = list.find(({ name }, i) => list.findIndex(other => other.name === name) !== i)
  if (twice) throw new Error(`two checkouts are called ${twice.name}; give one a name: --gw NAME=DIR`)
  return list
}

function positive(flag: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text)
  if (!(value > 0)) throw new Error(`${flag} must be a number above 0, got "${text}"`)
  return value
}

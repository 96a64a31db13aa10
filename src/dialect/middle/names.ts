// Tools as they are called on the wire: namespaces flattened, names made legal and short, and all of it turned back in the answer.
import { createHash } from 'node:crypto'
import type { Tool } from './form.ts'

/** What a name on the wire stands for. */
export interface Wired {
  name: string
  namespace?: string
  /** on the wire it is a function of one text, `input` */
  freeform?: boolean
}

/** By the name on the wire; names that are not in it stand for themselves. */
export type Wires = ReadonlyMap<string, Wired>

export interface Legal {
  /** of the first character, and of those after it, as in a class: `a-zA-Z0-9_-` */
  first: string
  rest: string
  max: number
}

interface Rules {
  legal: RegExp
  illegal: RegExp
  first: RegExp
}
// There are as many as dialects.
const compiled = new Map<string, Rules>()

function rulesOf({ first, rest, max }: Legal): Rules {
  const key = `${first} ${rest} ${max}`
  let rules = compiled.get(key)
  if (!rules) {
    rules = {
      legal: new RegExp(`^[${first}][${rest}]{0,${max - 1}}$`),
      illegal: new RegExp(`[^${rest}]`, 'g'),
      first: new RegExp(`^[${first}]`),
    }
    compiled.set(key, rules)
  }
  return rules
}

/**
 * Names for an upstream. The same tool has the same name in every turn, whatever stands around it.
 */
export class WireNames {
  readonly #wires = new Map<string, Wired>()
  readonly #names = new Map<string, string>()
  readonly #legal: RegExp
  readonly #illegal: RegExp
  readonly #first: RegExp
  readonly #max: number
  readonly #tools: ReadonlyMap<string, Tool>

  constructor(tools: readonly Tool[], legal: Legal) {
    const rules = rulesOf(legal)
    this.#legal = rules.legal
    this.#illegal = rules.illegal
    this.#first = rules.first
    this.#max = legal.max
    this.#tools = new Map(tools.map(tool => [keyOf(tool), tool]))
    for (const tool of tools) this.of(tool)
  }

  /** The name on the wire of a tool, or of a call of it. */
  of(tool: { name: string; namespace?: string }): string {
    const key = keyOf(tool)
    const known = this.#names.get(key)
    if (known !== undefined) return known
    const said = tool.namespace ? `${tool.namespace}__${tool.name}` : tool.name
    let name = said
    if (!this.#legal.test(said) || this.#wires.has(said)) {
      const digest = createHash('sha256').update(key).digest('hex').slice(0, 8)
      const plain = said.replace(this.#illegal, '_')
      const begun = this.#first.test(plain) ? plain : `t_${plain}`
      name = `${begun.slice(0, this.#max - digest.length - 1)}_${digest}`
    }
    const freeform = this.#tools.get(key)?.kind === 'freeform'
    this.#names.set(key, name)
    this.#wires.set(name, {
      name: tool.name,
      ...(tool.namespace ? { namespace: tool.namespace } : {}),
      ...(freeform ? { freeform } : {}),
    })
    return name
  }

  /** What has been named so far. */
  get wires(): Wires {
    return this.#wires
  }
}

export type Chosen = Tool | { name: string }

/** The tools that a choice names: a client says only the name. What is no tool of the request stands for itself. */
export const chosen = (tools: readonly Tool[], names: readonly string[]): Chosen[] =>
  names.map(name => tools.find(tool => tool.name === name) ?? { name })

const keyOf = ({ name, namespace }: { name: string; namespace?: string }) => `${namespace ?? ''}\0${name}`

// What a reply says, before a dialect puts it into its words.
import { hash } from 'node:crypto'
import type { Call } from './call.ts'
import { proofOf } from './proofs.ts'
import type { Step, Usage } from './step.ts'
import { usageOf } from './usage.ts'
import { words } from './words.ts'

export interface Speech {
  model: string
  /** 64 hex digits, the same for the same request: ids are made of it. */
  seed: string
  /** As deltas; undefined when nothing was thought. */
  thinking: string[] | undefined
  /** Of the thinking; undefined when there is none. */
  proof: string | undefined
  /** As deltas. */
  text: string[]
  /** As deltas; the text is empty then. */
  refusal: string[]
  tools: ToolUse[]
  /** What the thinking alone costs of the output. */
  thoughts: number
  usage: Usage
  /** The same for every request of its size. */
  keep: boolean
}

interface ToolUse {
  id: string
  name: string
  /** JSON. */
  input: string
}

export function speechOf(call: Call, step: Step, idPrefix: string): Speech {
  const model = step.model ?? call.model
  // Of what is said and not of how it is sent, so that a dripped stream holds the same bytes as a plain one.
  const said = [step.text, step.chunks, step.thinking, step.tools, ...(step.refusal ? [step.refusal] : [])]
  const seed = hash('sha256', JSON.stringify([model, call.body.length, ...said]))
  const scripted = call.body.includes('"tools"') ? (step.tools ?? []) : []
  const tools = scripted.map(({ id, name, input = {} }, index) => ({
    id: id ?? `${idPrefix}${seed.slice(24, 44)}${index}`,
    name,
    input: JSON.stringify(input),
  }))
  const thinking = step.thinking === undefined ? undefined : words(step.thinking)
  const refusal = words(step.refusal ?? [])
  const text = refusal.length > 0 ? [] : words(step.chunks ?? step.text ?? [])
  if (step.hugeBytes) text.push('x'.repeat(step.hugeBytes))
  if (text.length + refusal.length + tools.length === 0) {
    text.push(...words(`This is ${model}, answering ${call.body.length} bytes.`))
  }
  const thought = Buffer.byteLength((thinking ?? []).join(''))
  const spoken = Buffer.byteLength([...text, ...refusal, ...tools.map(tool => tool.input)].join(''))
  const usage = usageOf(step, call.body.length, thought + spoken)
  const thoughts = Math.min(usage.output_tokens, Math.ceil(thought / 4))
  const proof = thinking && proofOf(call, model, thinking, seed)
  // Two bodies of one size may differ in whether they carry tools or proofs, and an error tells the id of its request.
  const keep = [step.tools, step.errorAt, step.proofs, thinking].every(one => one === undefined)
  return { model, seed, thinking, proof, text, refusal, tools, thoughts, usage, keep }
}

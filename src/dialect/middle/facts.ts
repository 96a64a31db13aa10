// What a model can do: data (config/models.json), never an if in code.
import type { Effort, Ttl } from './form.ts'

export interface ModelFacts {
  /** temperature, top_p: taken; refused; or taken only while the model does not reason */
  sampling: 'yes' | 'no' | 'withoutReasoning'
  /** temperature and top_p at once */
  samplingBoth: boolean
  topK: boolean
  /** takes stop sequences */
  stop: boolean
  /** a tool may be forced (any, required, by name) */
  forcedTools: boolean
  /** it can be told whether it may call several tools at once */
  parallel: boolean
  /** a tool may be forced while it thinks */
  forcedWhileThinking: boolean
  /** modes of thinking that it takes; none: it does not think */
  thinking: readonly ('off' | 'auto' | 'budget' | 'betweenTools')[]
  /** with thinking off, the highest effort that it takes; undefined: any */
  offUpTo?: Effort
  /** efforts that it takes, lowest first; none: it takes no effort */
  efforts: readonly Effort[]
  /** budgets of thinking that it takes, in tokens */
  budget: { least: number; most: number }
  /** it can be told whether its reasoning is shown */
  display: boolean
  /** its reasoning holds only behind the very conversation that it was made in */
  bound: boolean
  /** the most output tokens it can be asked for */
  maxOutput: number
  /** explicit cache breakpoints, with these lifetimes; none: it takes none */
  cacheTtls: readonly Ttl[]
  /** the conversation may end with the beginning of its answer */
  prefill: boolean
  /** a system turn in the middle of the conversation */
  midSystem: boolean
  /** the developer role */
  developer: boolean
  /** anthropic-version of a request that we make */
  version: string
  /** the first call of a step must carry its proof (Gemini 3) */
  callSeals: boolean
  /** a tool's result may carry media */
  resultMedia: boolean
  /** the types of media by URL that are fetched for it (docs/dialects.md); undefined: any */
  fetchedMedia?: readonly string[]
  /** functions and its own search at once */
  searchWithTools: boolean
  /** its server wants the reasoning of earlier turns back, as `reasoning_content` */
  thoughtsBack: boolean
  /** assistant turns carry their phase */
  phases: boolean
  /** the type of the vendor's tool that searches the web; '': it has none */
  searchTool: string
  /** on v1internal its calls are made in mode VALIDATED, for which a schema must have a property (Claude on Antigravity) */
  validated?: boolean
  /** schemas of answers beside functions */
  schemaWithTools: boolean
}

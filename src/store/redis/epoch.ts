// Which memory of Redis this process knows: when it is lost, all come back with what they hold before anybody new is let in.
import { MendFirst } from '../breaker.ts'
import { PROCESSES } from '../store.ts'
import { Call, type Send, sendTogether } from './call.ts'

/** How long a process is believed to live that says nothing; and so, how long one is waited for that may hold something. */
export const PROCESS_TTL_MS = 5_000

/** An epoch that nobody keeps is forgotten: by then nobody holds anything that it knew of. */
const EPOCH_TTL_MS = 60_000

/** Said instead of an answer where nobody new is let in yet: somebody has not put back what he holds. */
export type Later = 'later'

/** The ways to one memory of one server. */
export interface EpochOptions {
  /** where there is a `kind` of thing about the processes */
  key(kind: string): string
  /** asks without saying which epoch is known */
  send: Send
  /** where the others hear that they must come back, and what they hear */
  message: readonly [channel: string, text: string]
}

export class Epoch {
  /** of the memory that this process knows; '' before it knows any */
  id = ''
  /** It is not known yet whose memory the connection leads to. */
  #reached = false
  readonly #options: EpochOptions
  readonly #keys: readonly string[]

  constructor(options: EpochOptions) {
    this.#options = options
    this.#keys = ['epoch', 'coming-back', 'lease'].map(options.key)
  }

  get key(): string {
    return this.#keys[0]!
  }

  /** Answers as they came. @throws MendFirst when nothing was run: that memory is gone */
  known<T>(answers: T | ''): T {
    if (answers === '') throw new MendFirst('it has lost its memory')
    return answers
  }

  /** There is a connection, a new one: to a server that may have been started again. */
  connected(): void {
    this.#reached = false
  }

  async meet(me: string, others: readonly string[], guests: number, fresh: string): Promise<boolean> {
    const { send, message } = this.#options
    const args = [
      this.id,
      fresh,
      me,
      PROCESS_TTL_MS,
      EPOCH_TTL_MS,
      guests,
      this.#reached ? 0 : 1,
      ...message,
      ...others,
    ]
    const call = new Call('meet', [PROCESSES], this.#keys, args, (answer: [string, number]) => answer)
    const [[id, lost]] = (await sendTogether([call], send)) as [[string, number]]
    this.id = id
    this.#reached = true
    return lost === 1
  }

  back(me: string): Call<true> {
    return this.#call('back', this.#keys, me)
  }

  beat(me: string): Call<true> {
    return this.#call('beat', [this.#keys[0]!, this.#keys[2]!], me)
  }

  leave(): Call<true> {
    return new Call('leave', [PROCESSES], this.#keys, [], () => true)
  }

  settled(): Call<boolean> {
    return new Call('settled', [PROCESSES], [], [], (answer: number) => answer === 1)
  }

  #call(script: string, keys: readonly string[], me: string): Call<true> {
    return new Call(script, [PROCESSES], keys, [me, PROCESS_TTL_MS, EPOCH_TTL_MS], () => true)
  }
}

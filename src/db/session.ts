// Sessions: statements on one connection, planned once and run as often as they come; and values as Postgres reads many at once.
import { createHash } from 'node:crypto'
import pg from 'pg'

export interface Session {
  /** Runs a statement. int8 comes as bigint. */
  run<Row>(text: string, values?: readonly (string | null)[]): Promise<{ rows: Row[] }>
  /** Runs `copy … from stdin` with rows as `copyRow` makes them; where there is none, `run` must do. */
  copy?(text: string, rows: string): Promise<void>
}

// Money and counts are exact: int8 becomes bigint. Everything else keeps pg's own reading.
export const types = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === pg.types.builtins.INT8
      ? BigInt
      : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
}

/** pg's query, which can do all of `copy … from stdin` but answer the server's word that it is ready for the rows. */
class Copy extends pg.Query {
  readonly #rows: Buffer

  constructor(text: string, rows: string, done: (error: Error | undefined) => void) {
    super(text, undefined, done)
    this.#rows = Buffer.from(rows)
  }

  handleCopyInResponse(connection: { sendCopyFromChunk(rows: Buffer): void; endCopyFrom(): void }): void {
    connection.sendCopyFromChunk(this.#rows)
    connection.endCopyFrom()
  }
}

/** The names of statements: of their text, so that no name ever stands for another text, whoever prepared it. */
const names = new Map<string, string>()

function nameOf(text: string): string {
  let name = names.get(text)
  if (name === undefined) names.set(text, (name = `gw${createHash('sha256').update(text).digest('hex').slice(0, 16)}`))
  return name
}

/** False once it was seen that what is prepared on a connection is not there the next time, as behind a pooler of transactions. */
let prepares = true

/**
 * Whether it says that the statement was prepared on another connection than the one that is asked now; from then on this thread
 * prepares none, and the transaction can be tried again.
 */
export function isElsewhere(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  // No such prepared statement, or there is one of that name already.
  if (code !== '26000' && code !== '42P05') return false
  prepares = false
  return true
}

/** Statements with values are kept on the connection by name, so that Postgres plans them once. */
export function sessionOn(client: pg.Client): Session {
  return {
    run<Row>(text: string, values?: readonly (string | null)[]) {
      if (values === undefined) return client.query(text) as unknown as Promise<{ rows: Row[] }>
      const name = prepares ? { name: nameOf(text) } : {}
      return client.query({ ...name, text, values: values as string[] }) as unknown as Promise<{ rows: Row[] }>
    },
    copy: (text, rows) =>
      new Promise((resolve, reject) => {
        client.query(new Copy(text, rows, error => (error ? reject(error) : resolve())))
      }),
  }
}

/** A column of values as Postgres reads an array: numbers and words of gw's own as they are, text in quotes. */
export function arrayOf(values: readonly unknown[], quoted = false): string {
  let text = '{'
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (i > 0) text += ','
    if (value === null || value === undefined) text += 'null'
    else text += quoted ? quote(String(value)) : value
  }
  return `${text}}`
}

function quote(text: string): string {
  return /["\\]/.test(text) ? `"${text.replace(/["\\]/g, '\\$&')}"` : `"${text}"`
}

/** A row's columns as `copy` reads them. */
export function copyRow<Row>(row: Row, columns: readonly (keyof Row)[]): string {
  let text = ''
  for (let i = 0; i < columns.length; i++) {
    const value = row[columns[i]!]
    if (i > 0) text += '\t'
    if (value === null || value === undefined) text += '\\N'
    else if (typeof value === 'string') text += /[\\\n\r\t]/.test(value) ? value.replace(/[\\\n\r\t]/g, escaped) : value
    else text += value
  }
  return `${text}\n`
}

const escapes: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }
const escaped = (letter: string): string => escapes[letter]!

// Finds calls in source text and cuts them into arguments: enough of a scanner to tell a list from an index, and code from text.

export interface Call {
  /** of the source, from 1 */
  line: number
  /** where its name begins */
  at: number
  /** as they are written, in their order */
  args: string[]
  /** whether a list literal stands anywhere in the argument of that number */
  lists: boolean[]
}

/** All calls of a name such as `t.match`. */
export function callsOf(source: string, name: string): Call[] {
  const found: Call[] = []
  const tokens = scan(source)
  for (const [i, token] of tokens.entries()) {
    if (token.text !== '(' || source.slice(token.at - name.length, token.at) !== name) continue
    if (/[\w$.]/.test(source[token.at - name.length - 1] ?? '')) continue
    const at = token.at - name.length
    const call: Call = { line: source.slice(0, at).split('\n').length, at, args: [], lists: [] }
    let depth = 0
    let begin = token.at + 1
    let list = false
    for (let n = i; n < tokens.length; n++) {
      const { text, at, value } = tokens[n]!
      if (/^[([{]$/.test(text)) depth++
      // Behind a value it is an index.
      if (text === '[' && !value) list = true
      if (/^[)\]}]$/.test(text)) depth--
      if (depth === 0 || (depth === 1 && text === ',')) {
        const arg = source.slice(begin, at).trim()
        if (arg !== '') {
          call.args.push(arg)
          call.lists.push(list)
        }
        begin = at + 1
        list = false
      }
      if (depth === 0) break
    }
    found.push(call)
  }
  return found
}

interface Token {
  /** a bracket or a comma */
  text: string
  at: number
  /** whether a value ends before it */
  value: boolean
}

/** Brackets and commas of code: what stands in text, regular expressions and comments is none, but code in templates is. */
function scan(source: string): Token[] {
  const tokens: Token[] = []
  /** how deep in brackets each template goes on */
  const templates: number[] = []
  let depth = 0
  let value = false
  let i = 0
  const skip = (pattern: RegExp): boolean => {
    pattern.lastIndex = i
    const match = pattern.exec(source)
    if (match) i = pattern.lastIndex
    return match !== null
  }
  const template = () => {
    skip(/(?:[^`\\$]|\\.|\$(?!\{))*/sy)
    if (source[i] === '`') {
      i++
      value = true
    } else {
      i += 2
      templates.push(depth++)
      value = false
    }
  }
  while (i < source.length) {
    if (skip(/\s+|\/\/[^\n]*|\/\*.*?\*\//sy)) continue
    const char = source[i]!
    if (char === '`') {
      i++
      template()
    } else if (char === '}' && templates.at(-1) === depth - 1) {
      depth = templates.pop()!
      i++
      template()
    } else if (char === "'" || char === '"') {
      skip(char === "'" ? /'(?:[^'\\\n]|\\.)*'/sy : /"(?:[^"\\\n]|\\.)*"/sy) || i++
      value = true
    } else if (char === '/' && !value) {
      skip(/\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/\w*/y) || i++
      value = true
    } else if (/[([{,)\]}]/.test(char)) {
      tokens.push({ text: char, at: i++, value })
      if (/[([{]/.test(char)) depth++
      if (/[)\]}]/.test(char)) depth--
      value = char === ')' || char === ']'
    } else if (/[\w$]/.test(char)) {
      const from = i
      skip(/[\w$]+/y)
      value = !/^(return|typeof|case|in|of|new|await|yield|else|do|void|delete)$/.test(source.slice(from, i))
    } else {
      // `x!` is a value as x is.
      value = char === '!' ? value : false
      i++
    }
  }
  return tokens
}

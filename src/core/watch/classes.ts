// Names that a client can make up are classes before they are counted: memory and tables must not grow with them.

/** All that is not known by a name of its own. */
export const OTHER = 'other'

/** The row of the table of routes that a path belongs to (`/v1beta/models/{model}:generateContent`), else `other`. */
export function pathClasses(routes: readonly string[]): (path: string) => string {
  const exact = new Map<string, string>()
  const patterns = new Map<string, { after: string; route: string }[]>()
  for (const route of routes) {
    const [before, after] = route.split('{model}')
    if (after === undefined) exact.set(route, route)
    else {
      const list = patterns.get(before!) ?? []
      if (!list.some(each => each.after === after)) list.push({ after, route })
      // What ends with an action first: without it, that is a part of the name.
      patterns.set(
        before!,
        list.sort((a, b) => b.after.length - a.after.length),
      )
    }
  }
  return path => {
    const known = exact.get(path)
    if (known !== undefined) return known
    for (const [before, list] of patterns)
      if (path.startsWith(before))
        for (const { after, route } of list)
          if (path.length > before.length + after.length && path.endsWith(after)) return route
    return OTHER
  }
}

// Names that are learnt because an upstream served them: it may serve any.
const MOST_LEARNT = 1_000
const LONGEST = 128
// Postgres takes no zero bytes, and nobody a name that cannot be seen.
const writable = /^[^\p{C}]+$/u

/**
 * A model's own name when it is `known` (as few are as an operator set up) or an upstream has served it since this process began;
 * else `other`.
 */
export function modelClasses(known: (model: string) => boolean): (model: string, served: boolean) => string {
  const names = new Map<string, string>()
  let learnt = 0
  return (model, served) => {
    if (model === '') return ''
    const name = names.get(model)
    if (name !== undefined) return name
    const own = known(model)
    if ((!own && (!served || learnt >= MOST_LEARNT)) || !writable.test(model)) return OTHER
    if (!own) learnt++
    const short = model.length <= LONGEST ? model : [...model].slice(0, LONGEST).join('')
    names.set(model, short)
    return short
  }
}

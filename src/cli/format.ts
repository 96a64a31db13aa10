// How a list looks: the formats, and the options of every list.

/** How a list may look: a table that fits the terminal or is as wide as it is, or data for other programs. */
export const formats = ['table', 'wide', 'csv', 'yaml', 'json', 'name'] as const
export type Format = (typeof formats)[number]

/** Options of every list: how it looks, which is no concern of what it lists. */
export interface ListOptions {
  output?: { format: Format }
  columns?: string[]
  headers: boolean
}

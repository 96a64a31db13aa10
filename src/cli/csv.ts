// A field of CSV, as RFC 4180 has it.
import { formatUsd } from '../lib/money.ts'

/** Times are ISO 8601, money is decimal USD; a text that a spreadsheet would take for a formula gets a ' in front. */
export function csvField(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (value instanceof Date) return value.toISOString()
  if (typeof value === 'bigint') return formatUsd(value)
  const plain =
    typeof value === 'object'
      ? JSON.stringify(value, (_, one) => (typeof one === 'bigint' ? formatUsd(one) : one))
      : value
  if (typeof plain !== 'string') return String(plain)
  const text = /^[=+\-@\t\r]/.test(plain) ? `'${plain}` : plain
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

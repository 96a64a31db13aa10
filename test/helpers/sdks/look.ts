// The tool that the official clients of the matrix have, and the shape that they ask for.
import { z } from 'zod'

export const lookSchema = {
  type: 'object' as const,
  properties: { q: { type: 'string' }, n: { type: 'integer' } },
  required: ['q'],
}

export const weather = z.object({ city: z.string(), degrees: z.number() })

// The platforms there are.
import type { Platform as PlatformName } from '../db/schema.ts'
import { anthropic } from './anthropic/anthropic.ts'
import { antigravity } from './antigravity/antigravity.ts'
import { gemini } from './gemini/gemini.ts'
import { openai } from './openai/openai.ts'
import type { Platform } from './platform.ts'

export const platformTable: Readonly<Record<PlatformName, Platform>> = { anthropic, openai, gemini, antigravity }

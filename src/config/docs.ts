// What people read about the settings, made from the table: example file, reference page, JSON Schema.

import { writeFileSync } from 'node:fs'
import { envName, type Setting, type SettingKey, sections, settingKeys, settings } from './schema.ts'

const generated = 'Generated from src/config/schema.ts by `npm run docs`; edit that instead.'

const spellings = [
  'Durations are written 250ms, 90s, 15m, 12h, 2d or 1h30m; sizes 512B, 32KB, 100MB or 1GB, where 1KB is 1024B.',
  'A section may be nested or dotted: "log: {level: debug}" is "log.level: debug".',
]

/** `config/gw.example.yaml`: every setting commented out with its default, one line to uncomment each. */
export function exampleYaml(): string {
  const out = [
    '# gw.yaml: every setting of gw with its default.',
    `# ${generated}`,
    '#',
    '# Save it as /etc/gw/gw.yaml, remove the # of the lines you change, then try it: gw config check',
    ...spellings.map(line => `# ${line}`),
  ]
  for (const [section, keys] of bySection()) {
    out.push('', `## ${sections[section]}`)
    for (const key of keys) {
      const { type, text, reloadable } = row(key)
      out.push('', `# ${plain(text)}`)
      out.push(`# ${[plain(type.allowed), ...origin(key), reloadable ? 'reloadable' : 'restart'].join(' · ')}`)
      out.push(`#${key}: ${scalar(example(key))}`)
    }
  }
  return `${out.join('\n')}\n`
}

/** `docs/configuration.md`: the reference page. */
export function referencePage(): string {
  const out = [
    '# Configuration',
    '',
    `<!-- ${generated} -->`,
    '',
    'A setting comes from, in this order: a flag of `gw serve`, the environment, the file, its default.',
    'The file is `--config FILE`, else the first of `$CONFIGURATION_DIRECTORY/gw.yaml`, `/etc/gw/gw.yaml` and',
    '`$XDG_CONFIG_HOME/gw/gw.yaml` (`~/.config/gw/gw.yaml`); none at all is fine.',
    '`DATABASE_URL` and `REDIS_URL` count as well, below `GW_DATABASE_URL` and `GW_REDIS_URL`.',
    '',
    ...spellings,
    'Relative paths start at the folder of the file, or at the working directory in flags and the environment.',
    '',
    'Unknown settings, unknown `GW_*` variables, empty values and settings given twice are errors (exit code 3), all',
    'reported at once. `gw config check` finds them without starting anything, `gw config show --origin` tells where',
    'each value comes from, `gw config init` writes an example file and `gw config schema` a JSON Schema for editors.',
    '',
    '`gw reload` and SIGHUP have a running gw read its configuration again: the file, the files that settings name, and',
    'the environment and flags that it was started with. All of it is checked first, and an invalid one is never applied:',
    'the command prints every mistake with its line and ends with 3, SIGHUP logs the same, and `/readyz` says until the next',
    'reload is good what gw refused. (Where the settings are wrong the command needs no gw to say so, and gw does not hear of it.)',
    'What the column *reload* marks so is applied, while requests go on; a change of the rest is named',
    'and takes a restart (`gw status`: `needs restart`). `gw reload --dry-run` tells what would be applied. Times and sizes',
    'hold for requests that come; those under way end as they began. `keys.prefix` and `defaults.*` are read by each command.',
    'A file that was read and is there no more is a mistake, too: an empty one says that all is as by default. What the database keeps',
    'from being done within 2 s (rules of `alerts.file`) is waited for: the command names it and ends with 8, `/readyz` says it until then.',
    'Commands that ask the running gw (`status`, `ping`, `top`, `stop`, `drain` …) tell what is wrong in the file and ask all the',
    'same where one answers, unless it is what says where gw is (`data_dir`, `control.socket`) or no YAML; all others end with 3.',
    'gw logs to stdout alone, so there is no log file to reopen.',
  ]
  for (const [section, keys] of bySection()) {
    out.push('', `## ${sections[section]}`, '')
    out.push('| key | default | value | reload | environment | meaning |', '|---|---|---|---|---|---|')
    for (const key of keys) {
      const { type, text, reloadable } = row(key)
      const cells = [
        `\`${key}\``,
        fallback(key),
        type.allowed,
        reloadable ? 'reload' : 'restart',
        `\`${envName(key)}\``,
        text,
      ]
      out.push(`| ${cells.join(' | ')} |`)
    }
  }
  return `${out.join('\n')}\n`
}

/** A JSON Schema (draft 7) of the file; sections may be nested or dotted, unknown keys are marked. */
export function jsonSchema(): object {
  const properties: Record<string, object> = {}
  const dotted: Record<string, object> = {}
  for (const [section, keys] of bySection()) {
    const below: Record<string, object> = {}
    for (const key of keys) {
      const described = { description: plain(row(key).text), ...row(key).type.schema, ...schemaDefault(key) }
      below[key.slice(section === '' ? 0 : section.length + 1)] = described
      if (section !== '') dotted[key] = described
    }
    if (section === '') Object.assign(properties, below)
    else {
      const description = sections[section]
      properties[section] = { description, type: 'object', additionalProperties: false, properties: below }
    }
  }
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'gw.yaml',
    type: 'object',
    additionalProperties: false,
    properties: { ...properties, ...dotted },
  }
}

function bySection(): Map<string, SettingKey[]> {
  return Map.groupBy(settingKeys, key => (key.includes('.') ? key.slice(0, key.indexOf('.')) : ''))
}

/** The row of `key` without its literal types. */
function row(key: SettingKey): Setting {
  return settings[key]
}

function example(key: SettingKey): string {
  const { default: value, example = '' } = row(key)
  return typeof value === 'object' ? value.example : (value ?? example)
}

function fallback(key: SettingKey): string {
  const value = row(key).default
  if (value === undefined) return 'none'
  return typeof value === 'string' ? `\`${value}\`` : value.rule
}

// As YAML reads it back: a colon before a space or the end would make it a mapping.
function scalar(text: string): string {
  return /:(\s|$)/.test(text) ? JSON.stringify(text) : text
}

/** A remark where the line of the example is not the default itself. */
function origin(key: SettingKey): string[] {
  return typeof row(key).default === 'string' ? [] : [`default: ${plain(fallback(key))}`]
}

function schemaDefault(key: SettingKey): object {
  const { default: value, type } = row(key)
  if (typeof value !== 'string') return {}
  return { default: type.schema['type'] === 'integer' || type.schema['type'] === 'boolean' ? JSON.parse(value) : value }
}

function plain(markdown: string): string {
  return markdown.replaceAll('`', '')
}

if (import.meta.main) {
  writeFileSync(new URL('../../config/gw.example.yaml', import.meta.url), exampleYaml())
  writeFileSync(new URL('../../docs/configuration.md', import.meta.url), referencePage())
}

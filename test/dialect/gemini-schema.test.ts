// Schemas to Gemini and from it.
import t from 'tap'
import { cleanedSchema, jsonSchemaOf, plainSchema } from '../../src/dialect/gemini/schema.ts'
import type { Json } from '../../src/dialect/middle/form.ts'

t.test('trap 35: schemas for v1internal are cleaned by what is allowed, trap 36: names are no keywords', async t => {
  const cases: [what: string, schema: object, clean: object][] = [
    [
      'names like keywords',
      {
        type: 'object',
        properties: {
          properties: { type: 'object', properties: { title: { type: 'string' } } },
          format: { type: 'string' },
          $ref: { type: 'string' },
          type: { type: 'string' },
        },
        required: ['type', 'ghost'],
      },
      {
        type: 'OBJECT',
        properties: {
          properties: { type: 'OBJECT', properties: { title: { type: 'STRING' } } },
          format: { type: 'STRING' },
          $ref: { type: 'STRING' },
          type: { type: 'STRING' },
        },
        required: ['type'],
      },
    ],
    [
      'references and circles',
      {
        type: 'object',
        properties: { a: { $ref: '#/$defs/n' } },
        $defs: { n: { type: 'object', properties: { next: { $ref: '#/$defs/n' } } } },
      },
      { type: 'OBJECT', properties: { a: { type: 'OBJECT', properties: { next: { type: 'OBJECT' } } } } },
    ],
    [
      'constants and lists of values',
      {
        type: 'object',
        properties: {
          a: { const: 'x' },
          b: { enum: ['', 'y', null] },
          c: { enum: [1, 2] },
          d: { anyOf: [{ const: 'p' }, { const: 'q' }] },
        },
      },
      {
        type: 'OBJECT',
        properties: {
          a: { type: 'STRING', enum: ['x'] },
          b: { type: 'STRING', nullable: true, enum: ['y'] },
          c: { type: 'INTEGER', description: '(one of 1, 2)' },
          d: { type: 'STRING', enum: ['p', 'q'] },
        },
      },
    ],
    [
      'alternatives',
      {
        type: 'object',
        properties: {
          a: {
            anyOf: [{ type: 'string' }, { type: 'object', properties: { x: { type: 'number' } } }, { type: 'null' }],
          },
        },
      },
      { type: 'OBJECT', properties: { a: { type: 'OBJECT', nullable: true, properties: { x: { type: 'NUMBER' } } } } },
    ],
    [
      'parts of all',
      {
        allOf: [
          { type: 'object', properties: { a: { type: 'string' } }, required: ['a'] },
          { properties: { b: { type: 'boolean' } } },
        ],
      },
      { type: 'OBJECT', properties: { b: { type: 'BOOLEAN' }, a: { type: 'STRING' } }, required: ['a'] },
    ],
    [
      'keywords nobody there knows',
      {
        $schema: 'x',
        $id: 'y',
        type: 'object',
        additionalProperties: false,
        propertyNames: {},
        patternProperties: {},
        if: {},
        properties: {
          a: { type: 'array', uniqueItems: true, contains: {} },
          b: { type: 'string', format: 'uri', pattern: '^x', minLength: 1 },
        },
      },
      {
        type: 'OBJECT',
        properties: {
          a: { type: 'ARRAY', items: { type: 'STRING' }, description: '(no item twice)' },
          b: { type: 'STRING', description: '(at least 1 characters; matches ^x; format uri)' },
        },
      },
    ],
    ['a root that is no object', { type: 'string' }, { type: 'OBJECT' }],
    ['nothing at all', {}, { type: 'OBJECT' }],
  ]
  for (const [what, schema, clean] of cases)
    t.strictSame(JSON.parse(cleanedSchema(JSON.stringify(schema) as Json)), clean, what)
  t.strictSame(JSON.parse(cleanedSchema('{"type":"object"}' as Json, true)).required, ['reason'])
  t.equal(cleanedSchema('[' as Json), '{"type":"OBJECT"}')
  const kept = '{"type":"object","properties":{"n":{"type":"integer","maximum":12345678901234567890}}}' as Json
  t.equal(plainSchema(kept), kept)
  t.ok(cleanedSchema(kept).includes('at most 12345678901234567890'))
})

t.test('schemas of Gemini’s own as JSON Schema', async t => {
  const own =
    '{"type":"OBJECT","properties":{"type":{"type":"STRING","nullable":true,"enum":["a"]},"n":{"type":"ARRAY","minItems":"1","items":{"type":"INTEGER","format":"int32"}}},"propertyOrdering":["n"],"required":["n"]}'
  t.strictSame(JSON.parse(jsonSchemaOf(own as Json)), {
    type: 'object',
    properties: {
      type: { type: ['string', 'null'], enum: ['a', null] },
      n: { type: 'array', minItems: 1, items: { type: 'integer', format: 'int32' } },
    },
    required: ['n'],
  })
})

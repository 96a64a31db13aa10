// What fetched bytes are: their signs go before what is said of them, and what has no sign is believed only where there can be none.
import t from 'tap'
import { saidType, typeOf } from '../../src/dialect/middle/signs.ts'

const bytes = (text: string) => Buffer.from(text, 'latin1')

t.test('by their signs', async t => {
  const rows: [Parameters<typeof typeOf>[0], said: string, begins: string, type: string | undefined][] = [
    ['image', '', '\x89PNG\r\n\x1a\n....', 'image/png'],
    ['image', 'image/png', '\xff\xd8\xff\xdb....', 'image/jpeg'],
    ['image', '', 'GIF87a....', 'image/gif'],
    ['image', '', 'RIFF\x0a\x00\r\nWEBPVP8 ', 'image/webp'],
    ['image', '', '\0\0\0\x18ftypheic\0\0\0\0', 'image/heic'],
    ['image', '', '\0\0\0\x18ftypmif1\0\0\0\0', 'image/heif'],
    ['image', 'image/jpeg', '\0\0\0\x18ftypavif\0\0\0\0', 'image/avif'],
    ['image', '', '\0\0\0\x18ftypisom\0\0\0\0', undefined],
    ['image', 'image/svg+xml', '<svg/>', undefined],
    ['image', '', '', undefined],
    ['video', '', '\0\0\0\x18ftypisom\0\0\0\0', 'video/mp4'],
    ['video', 'video/mp4', '\0\0\0\x18ftypqt  \0\0\0\0', 'video/quicktime'],
    ['video', 'video/webm', '\x1aE\xdf\xa3', 'video/webm'],
    ['video', '', '\x1aE\xdf\xa3', undefined],
    ['audio', 'audio/mpeg', 'ID3.', 'audio/mpeg'],
    ['audio', '', 'RIFF\x0a\x00\0\0WAVEfmt ', 'audio/wav'],
    ['document', '', '%PDF-1.4', 'application/pdf'],
    ['document', 'text/plain', '%PDF-1.4', 'application/pdf'],
    ['document', 'application/pdf', '<html>', undefined],
    ['document', 'text/csv', 'a,b', 'text/csv'],
    ['document', 'text/csv', 'a,\xfc', undefined],
    ['document', '', 'a page', undefined],
    ['document', 'text/plain', '\x89PNG\r\n\x1a\n....', undefined],
  ]
  for (const [kind, said, begins, type] of rows)
    t.equal(typeOf(kind, said, bytes(begins)), type, `${kind} ${said} ${JSON.stringify(begins)}`)
})

t.test('what a header says', async t => {
  for (const [header, said] of [
    ['Image/PNG; q=1', 'image/png'],
    ['application/x-pdf', 'application/pdf'],
    ['application/octet-stream', ''],
    [undefined, ''],
  ])
    t.equal(saidType(header), said)
})

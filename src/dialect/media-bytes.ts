// What media count as, in bytes of text, where nobody has counted their tokens yet.

/** What an image counts as: at two bytes a token more than any is billed for. */
export const IMAGE_BYTES = 10_000
/** A document that is only named, by URL or file: some hundred pages of it. */
export const DOCUMENT_BYTES = 400_000

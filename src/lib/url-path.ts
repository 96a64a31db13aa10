// Names in the path of a URL.

/** A name as it stands in a path: its slashes stay (`vendor/model`), all else that means something there is percent-encoded. */
export function inPath(name: string): string {
  return encodeURIComponent(name).replaceAll('%2F', '/')
}

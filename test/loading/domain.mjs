// What tap takes for its 'async-hook-domain': errors that nobody awaits fail the file, without a hook on every promise.
// The original follows each promise from its beginning until it is collected, to name the test it belongs to: in a
// gateway that is a third of all the time of the process. Here such an error is told of the file as a whole.
const living = new Set()

export class Domain {
  constructor(onerror) {
    this.onerror = onerror
    if (living.size === 0) {
      process.on('uncaughtException', tell)
      process.on('unhandledRejection', tell)
    }
    living.add(this)
  }
  destroy() {
    if (!living.delete(this) || living.size > 0) return
    process.off('uncaughtException', tell)
    process.off('unhandledRejection', tell)
  }
}

/** The first that lives is the file's own. Who listens besides has an answer of its own. */
function tell(error, origin) {
  const kind = typeof origin === 'string' ? origin : 'unhandledRejection'
  const [file] = living
  if (process.listenerCount(kind) === 1) file.onerror(error, kind)
}

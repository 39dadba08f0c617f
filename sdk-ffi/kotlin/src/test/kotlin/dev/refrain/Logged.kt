package dev.refrain

import java.util.concurrent.LinkedBlockingQueue
import java.util.logging.Handler
import java.util.logging.LogRecord
import java.util.logging.Logger

/** What the package says in the log, while this is open. */
class Logged : Handler() {
    val records = LinkedBlockingQueue<LogRecord>()

    private val log = Logger.getLogger("dev.refrain").also { it.addHandler(this) }

    override fun publish(record: LogRecord) = records.put(record)

    override fun flush() = Unit

    override fun close() = log.removeHandler(this)
}

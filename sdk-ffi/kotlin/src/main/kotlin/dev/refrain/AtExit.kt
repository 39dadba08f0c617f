package dev.refrain

import dev.refrain.ffi.detach
import java.util.Collections
import java.util.concurrent.ConcurrentHashMap
import kotlin.concurrent.thread
import kotlin.time.Duration.Companion.seconds
import kotlin.time.DurationUnit
import kotlin.time.TimeSource

/** When the JVM ends: what clients that nobody closed get to send what is queued. */
private val LAST = 1.seconds

/** How often is looked whether the app is done. */
private const val LOOKING_MS = 10L

/** How long a client is waited for that does not keep to its time. */
private const val AT_MOST_MS = 3_000L

/**
 * Keeps the clients that are open, also those of which the app keeps nothing, and has them send when the JVM ends, before
 * its threads go: no thread of the library's may enter it afterwards.
 *
 * They are not closed. The JVM ends while the app's own hooks run, and what a server records while it drains in one of
 * them is sent, or else kept in the folder.
 */
internal object AtExit {
    private val open = Collections.newSetFromMap(ConcurrentHashMap<Refrain, Boolean>())

    /** For the tests too, which wait for its end. */
    val hook: Thread = thread(start = false, name = "refrain-exit") { end() }

    init {
        try {
            Runtime.getRuntime().addShutdownHook(hook)
        } catch (_: IllegalStateException) {
            // It is ending already.
        }
    }

    fun add(client: Refrain) {
        open.add(client)
    }

    fun remove(client: Refrain) {
        open.remove(client)
    }

    private fun end() {
        val end = TimeSource.Monotonic.markNow() + LAST
        each { it.flushBlocking(LAST.toDouble(DurationUnit.SECONDS)) }
        while (open.isNotEmpty() && end.hasNotPassedNow() && isAppBusy()) Thread.sleep(LOOKING_MS)
        // What was recorded meanwhile, and what an objection asks the server for: that is waited for by closing only, and
        // costs no record.
        each {
            if (it.audit().outbox.any { asked -> asked.state == "requested" }) it.close(LAST)
            else it.flushBlocking(LAST.toDouble(DurationUnit.SECONDS))
        }
        // A transport may serve another client than the one that brought it, so that closed clients do not suffice.
        detach()
    }

    /** All at once: one whose collector hangs is not to take the others' time. */
    private fun each(send: (Refrain) -> Unit) {
        val sending = open.map { thread(name = "refrain-exit-send", isDaemon = true) { runCatching { send(it) } } }
        for (thread in sending) thread.join(AT_MOST_MS)
    }

    /** Whether the app has threads such as its hooks, for which the JVM waits anyway, beside the one that ends it. */
    private fun isAppBusy(): Boolean =
        Thread.getAllStackTraces().any { (thread, stack) ->
            !thread.isDaemon && thread != Thread.currentThread() && stack.none { it.className == "java.lang.Shutdown" }
        }
}

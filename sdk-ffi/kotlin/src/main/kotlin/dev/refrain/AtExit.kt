package dev.refrain

import dev.refrain.ffi.detach
import java.util.Collections
import java.util.concurrent.ConcurrentHashMap
import kotlin.concurrent.thread
import kotlin.time.Duration.Companion.seconds

/** When the JVM ends: what a client that nobody closed gets to send what is queued. */
private val LAST = 1.seconds

/**
 * Keeps the clients that are open, also those of which the app keeps nothing, and closes them when the JVM ends, before
 * its threads go: no thread of the library's may enter it afterwards.
 */
internal object AtExit {
    private val open = Collections.newSetFromMap(ConcurrentHashMap<Refrain, Boolean>())

    init {
        try {
            Runtime.getRuntime().addShutdownHook(thread(start = false, name = "refrain-exit") { end() })
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
        for (client in open) runCatching { client.close(LAST) }
        // A transport may serve another client than the one that brought it, so that closed clients do not suffice.
        detach()
    }
}

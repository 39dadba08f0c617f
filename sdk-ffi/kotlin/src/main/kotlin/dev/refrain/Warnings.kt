package dev.refrain

import java.util.Collections
import java.util.concurrent.ConcurrentHashMap
import java.util.logging.Logger

private val LOG = Logger.getLogger("dev.refrain")

internal fun log(text: String) {
    try {
        LOG.warning(text)
    } catch (_: Throwable) {
        // The app's handlers are its own affair.
    }
}

/** Those of one client or transport. Each is said once: what is wrong may be so at every call and every retry. */
internal class Warnings {
    private val said = Collections.newSetFromMap(ConcurrentHashMap<String, Boolean>())

    fun say(text: String) {
        if (said.add(text)) log(text)
    }
}

package dev.refrain.testing

/** A request whose body has left the client, whether or not the collector took it. */
public data class SentRequest(
    /** Where it went. */
    val url: String,
    /** Its body, as maps, lists, texts, numbers and Booleans; `null` if it had none. */
    val body: Any?,
    /** The status with which the collector answered. */
    val status: Int,
) {
    /**
     * Whether the person asked for this with an objection. Such a deletion names the device's own profile, which no
     * call of an app does; the user's profile goes with it.
     */
    internal val isWish: Boolean
        get() = isErasure(url) || body is List<*> && body.all { it has "\$delete" } && body.any { it has "\$ignore_alias" }
}

/** Whether a request to this address asks for an erasure, or how one has come on. */
internal fun isErasure(url: String): Boolean = "/refrain/v1/erasures" in url

private infix fun Any?.has(member: String) = this is Map<*, *> && member in this

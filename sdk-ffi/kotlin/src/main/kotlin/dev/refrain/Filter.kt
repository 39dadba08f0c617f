package dev.refrain

/** A last look at the properties of everything that is about to be recorded, see [Settings.filter]. */
public fun interface Filter {
    /**
     * Says what is recorded in place of properties. Called on the thread that records, also for what is held until the
     * person decides.
     *
     * @param subject what they belong to.
     * @param properties a copy, whose outermost names are the filter's own to change.
     * @return what is recorded; `null`, and where the filter throws: nothing, and the call is rejected (`filtered`).
     */
    public fun apply(subject: Subject, properties: MutableMap<String, Any?>): Map<String, Any?>?
}

/** What the properties that a [Filter] sees belong to. */
public sealed class Subject {
    /** An event. */
    public data class Event(val name: String) : Subject()

    /** They go with every later event. */
    public data object Registered : Subject()

    /** Operators on a profile or on a group's profile, such as `mapOf("\$set" to …)`. */
    public data object Profile : Subject()
}

/** What is to be recorded of properties. */
internal fun Filter?.kept(subject: Subject, properties: Map<String, Any?>): Map<String, Any?> {
    if (this == null) return properties
    val kept =
        try {
            apply(subject, properties.toMutableMap())
        } catch (_: Exception) { // what it cannot judge is not recorded
            null
        }
    return kept ?: throw Unusable("filtered", "the filter that this app has set does not want it recorded")
}

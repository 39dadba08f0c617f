package dev.refrain

/** A last look at the properties of everything that is about to be recorded, see [Settings.filter]. */
public fun interface Filter {
    /**
     * Says what is recorded in place of properties. Called on the thread that records, also for what is held until the
     * person decides.
     *
     * @param subject what they belong to.
     * @param properties a copy, with copies of the maps and lists in it; the outermost names are the filter's to change.
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

/** What is to be recorded of properties. Java may pass none, which is not for the filter to refuse. */
internal fun Filter?.kept(subject: Subject, properties: Map<String, Any?>?): Map<String, Any?>? {
    if (this == null || properties == null) return properties
    val own = properties.mapValuesTo(mutableMapOf()) { snapshot(it.value, 1) }
    val kept =
        try {
            apply(subject, own)
        } catch (_: Throwable) { // what it cannot judge is not recorded, and nothing is thrown into the app
            null
        }
    return kept ?: throw Unusable("filtered", "the filter that this app has set does not want it recorded")
}

/** A value that stays as it is while the app goes on with what it came from. */
private fun snapshot(value: Any?, depth: Int): Any? =
    when {
        depth > MAX_DEPTH -> throw Unusable("nested_too_deep", "properties are nested deeper than $MAX_DEPTH levels")
        value is Map<*, *> -> value.mapValues { snapshot(it.value, depth + 1) }
        value is Collection<*> -> value.map { snapshot(it, depth + 1) }
        value is Array<*> -> value.map { snapshot(it, depth + 1) }
        value is CharSequence -> value.toString()
        else -> value?.let(::primitives)?.toList() ?: value
    }

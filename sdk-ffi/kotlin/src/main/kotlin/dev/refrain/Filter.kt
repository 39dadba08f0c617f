package dev.refrain

/** A last look at the properties of everything that is about to be recorded, see [Settings.filter]. */
public fun interface Filter {
    /**
     * Says what is recorded in place of properties. Called on the thread that records, also for what is held until the
     * person decides.
     *
     * @param subject what they belong to.
     * @param properties a copy, with copies of the maps and lists in it; the outermost names are the filter's to change.
     * @return what is recorded; `null`, and where the filter throws: nothing, and the call is rejected (`filtered`). What it
     *   throws is named in the log, once.
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
internal fun Filter?.kept(
    subject: Subject,
    properties: Map<String, Any?>?,
    warnings: Warnings,
): Map<String, Any?>? {
    if (this == null || properties == null) return properties
    val snapshot = Snapshot()
    val own = properties.mapValuesTo(mutableMapOf()) { snapshot.of(it.value, 1) }
    val kept =
        try {
            apply(subject, own)
        } catch (error: Throwable) { // what it cannot judge is not recorded, and nothing is thrown into the app
            val name = kind(error)
            warnings.say("the filter that this app has set throws $name; nothing of what it throws for is recorded")
            throw Unusable("filtered", "the filter that this app has set has thrown $name")
        }
    return kept ?: throw Unusable("filtered", "the filter that this app has set does not want it recorded")
}

/** Values that stay as they are while the app goes on with what they came from. */
private class Snapshot {
    /** How many more values there may be: each is a character at least, and lists that hold one another are many. */
    private var room = MAX_BYTES

    fun of(value: Any?, depth: Int): Any? {
        take(1)
        return when {
            depth > MAX_DEPTH -> throw Unusable("nested_too_deep", "properties are nested deeper than $MAX_DEPTH levels")
            value is Map<*, *> -> value.mapValues { of(it.value, depth + 1) }
            value is Collection<*> -> value.map { of(it, depth + 1) }
            value is Array<*> -> value.map { of(it, depth + 1) }
            value is String -> value
            value is CharSequence -> value.also { take(it.length) }.toString()
            else -> value?.let(::primitives)?.also { take(it.size) }?.toList() ?: value
        }
    }

    private fun take(values: Int) {
        room -= values
        if (room < 0) throw tooLarge()
    }
}

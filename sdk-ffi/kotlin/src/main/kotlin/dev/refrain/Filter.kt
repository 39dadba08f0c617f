package dev.refrain

/** Sees all properties just before they are recorded, see [Settings.filter]. */
public fun interface Filter {
    /**
     * Returns what is recorded in place of the properties. Called on the recording thread, also for calls that are held
     * until the person decides.
     *
     * @param subject what the properties belong to.
     * @param properties a deep copy; the filter may change its top-level entries.
     * @return what is recorded. If this is `null`, or the filter throws, nothing is recorded and the call is rejected
     *   (`filtered`). The log names what it throws, once.
     */
    public fun apply(subject: Subject, properties: MutableMap<String, Any?>): Map<String, Any?>?
}

/** What the properties passed to a [Filter] belong to. */
public sealed class Subject {
    /** An event. */
    public data class Event(val name: String) : Subject()

    /** Properties that are registered for every later event. */
    public data object Registered : Subject()

    /** Operators on a person's or a group's profile, such as */
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
    return kept ?: throw Unusable("filtered", "the app's own filter rejected it")
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

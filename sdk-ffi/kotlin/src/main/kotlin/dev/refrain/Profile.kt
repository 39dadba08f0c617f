package dev.refrain

/**
 * The profile of a person or a group. Each call is a record of its own, and like all recording calls it never throws
 * and never waits.
 */
public class Profile internal constructor(private val update: (Map<String, Any?>) -> Outcome) {
    /** Sets properties. */
    public fun set(properties: Map<String, Any?>): Outcome = apply("\$set", properties)

    /** Sets those properties that are not set yet. */
    public fun setOnce(properties: Map<String, Any?>): Outcome = apply("\$set_once", properties)

    /**
     * Adds numbers to properties; a missing property counts as 0. If the response to a request is lost, the request is
     * sent again, and collectors do not tell the two apart.
     */
    public fun add(numbers: Map<String, Number>): Outcome = apply("\$add", numbers)

    /** Appends a value to each of the named lists. */
    public fun append(values: Map<String, Any?>): Outcome = apply("\$append", values)

    /** Appends those values to each of the named lists that are not in it yet. */
    public fun union(lists: Map<String, Collection<Any?>>): Outcome = apply("\$union", lists)

    /** Removes a value from each of the named lists. */
    public fun remove(values: Map<String, Any?>): Outcome = apply("\$remove", values)

    /** Removes properties. */
    public fun unset(vararg names: String): Outcome = apply("\$unset", names)

    /** Deletes the profile. This erases no events. */
    public fun delete(): Outcome = apply("\$delete", "")

    private fun apply(operator: String, value: Any?): Outcome = update(mapOf(operator to value))
}

package dev.refrain

import java.math.BigDecimal
import java.math.BigInteger
import java.util.Date

/**
 * Appends some properties as JSON text. A value that JSON cannot hold is named, with its place; nothing is guessed.
 *
 * Dates become the wire's text form (`YYYY-MM-DDTHH:MM:SS`, in UTC unless they have no zone), a map an object, a
 * collection or an array a list, an enum its name.
 *
 * @param place what stands there, for whoever reads what is wrong with it.
 * @throws Unusable JSON cannot hold it, or there are none: Java may pass null.
 */
internal fun StringBuilder.appendJson(properties: Map<*, *>?, place: String = "properties") {
    if (properties == null) throw Unusable("not_an_object", "$place must be a Map, not null")
    try {
        appendObject(properties, 1)
    } catch (error: Unusable) {
        throw error
    } catch (error: Exception) {
        throw explain(place, properties, error)
    } catch (error: StackOverflowError) {
        throw explain(place, properties, error)
    }
}

/** A value that cannot be recorded: a stable reason, and a hint that says where it stands. */
internal class Unusable(val reason: String, val hint: String) : Exception(hint) {
    override fun fillInStackTrace(): Throwable = this
}

/** The length of a text in UTF-8; -1 if it holds half of a surrogate pair, which UTF-8 cannot say. */
internal fun utf8Length(text: String): Int {
    var bytes = text.length
    var at = 0
    while (at < text.length) {
        val char = text[at]
        if (char.code >= 0x80) {
            if (!char.isSurrogate()) {
                bytes += if (char.code < 0x800) 1 else 2
            } else if (isPair(text, at)) {
                bytes += 2
                at++
            } else {
                return -1
            }
        }
        at++
    }
    return bytes
}

/** The most that the core takes in one record, in bytes. What has more characters is not even written out. */
internal const val MAX_BYTES = 1_000_000

internal fun tooLarge() = Unusable("too_large", "a record may be at most 1 MB: split it")

/** There the core's own limits are long passed; it keeps what contains itself from going on for ever. */
internal const val MAX_DEPTH = 64

internal object Fault : RuntimeException() {
    private fun readResolve(): Any = Fault

    override fun fillInStackTrace(): Throwable = this
}

private fun StringBuilder.appendValue(value: Any?, depth: Int) {
    // Lists that hold one another are few in memory and many as text.
    if (length > MAX_BYTES) throw tooLarge()
    when (value) {
        null -> append("null")
        is String -> appendText(value)
        is Boolean -> append(value)
        is Int -> append(value)
        is Long -> append(value)
        is Double -> if (value.isFinite()) append(value) else throw Fault
        is Float -> if (value.isFinite()) append(value) else throw Fault
        is Map<*, *> -> appendObject(value, depth)
        is Collection<*> -> appendList(value.iterator(), depth)
        is Array<*> -> appendList(value.iterator(), depth)
        is CharSequence -> if (value.length > MAX_BYTES) throw tooLarge() else appendText(value.toString())
        is Char -> appendText(value.toString())
        is Enum<*> -> appendText(value.name)
        is Short, is Byte, is BigInteger, is BigDecimal -> append(value.toString())
        is UInt, is ULong, is UShort, is UByte -> append(value.toString())
        is Date -> appendQuoted { appendUtc(value.time.floorDiv(1000L)) }
        else -> {
            val items = primitives(value)
            if (items != null) appendList(items.iterator(), depth) else appendQuoted { appendJavaTime(value) }
        }
    }
}

private fun StringBuilder.appendObject(map: Map<*, *>, depth: Int) {
    if (depth > MAX_DEPTH) throw Fault
    append('{')
    var rest = false
    for ((key, value) in map) {
        if (rest) append(',')
        rest = true
        appendText(keyOf(key) ?: throw Fault)
        append(':')
        appendValue(value, depth + 1)
    }
    append('}')
}

private fun StringBuilder.appendList(items: Iterator<*>, depth: Int) {
    if (depth > MAX_DEPTH) throw Fault
    append('[')
    var rest = false
    for (item in items) {
        if (rest) append(',')
        rest = true
        appendValue(item, depth + 1)
    }
    append(']')
}

private fun StringBuilder.appendText(text: String) {
    if (text.length > MAX_BYTES) throw tooLarge()
    append('"')
    var from = 0
    var at = 0
    while (at < text.length) {
        val char = text[at]
        if (char.isSurrogate()) {
            if (!isPair(text, at)) throw Fault
            at++
        } else if (char < ' ' || char == '"' || char == '\\') {
            append(text, from, at).append('\\')
            if (char < ' ') append("u00").append(HEX[char.code shr 4]).append(HEX[char.code and 15]) else append(char)
            from = at + 1
        }
        at++
    }
    append(text, from, text.length).append('"')
}

private fun StringBuilder.appendJavaTime(value: Any) {
    if (!hasJavaTime || !JavaTime.append(this, value)) throw Fault
}

private inline fun StringBuilder.appendQuoted(content: StringBuilder.() -> Unit) {
    append('"')
    content()
    append('"')
}

private const val HEX = "0123456789abcdef"

private fun isPair(text: String, at: Int) =
    text[at].isHighSurrogate() && at + 1 < text.length && text[at + 1].isLowSurrogate()

private fun keyOf(key: Any?): String? =
    when (key) {
        is String -> key
        is Enum<*> -> key.name
        else -> null
    }

internal fun primitives(value: Any): List<*>? =
    when (value) {
        is IntArray -> value.asList()
        is LongArray -> value.asList()
        is DoubleArray -> value.asList()
        is FloatArray -> value.asList()
        is BooleanArray -> value.asList()
        is ShortArray -> value.asList()
        else -> null
    }

/** Finds the value at fault. Only refused properties pay for it. */
private fun explain(place: String, properties: Map<*, *>, error: Throwable): Unusable {
    val found =
        try {
            faultIn(place, properties, ArrayList())
        } catch (_: Exception) {
            null // a value that cannot even be looked at
        } catch (_: StackOverflowError) {
            null
        }
    return found ?: Unusable("unreadable_value", "reading the $place threw ${error.javaClass.simpleName}")
}

private fun faultIn(place: String, value: Any?, above: MutableList<Any>): Unusable? {
    val parts = value?.let { parts(place, it) }
    return when {
        value is String || value is CharSequence || value is Char ->
            if (utf8Length(value.toString()) < 0) halfAPair(place) else null
        value is Double && !value.isFinite() || value is Float && !value.isFinite() ->
            Unusable("not_finite", "$place is $value, which JSON cannot hold; leave it out or pass a text")
        parts == null && isHeld(value) -> null
        parts == null && isDate(value) ->
            Unusable("not_finite", "$place is a date outside of the years 1 to 9999; leave it out or pass a text")
        parts == null ->
            Unusable("unsupported_type", "$place is ${kind(value)}, which JSON cannot hold; pass a text or a number")
        above.any { it === value } -> Unusable("circular_reference", "$place contains itself")
        above.size >= MAX_DEPTH -> Unusable("nested_too_deep", "$place is nested deeper than $MAX_DEPTH levels")
        else -> {
            above.add(value)
            val found = parts.firstNotNullOfOrNull { it.fault ?: faultIn(it.place, it.value, above) }
            above.removeAt(above.lastIndex)
            found
        }
    }
}

/** A value in another one. */
private class Part(val place: String, val value: Any?, val fault: Unusable? = null)

/** What a value holds; `null` if it holds no others. */
private fun parts(place: String, value: Any): Sequence<Part>? =
    when (value) {
        is Map<*, *> -> value.entries.asSequence().map { (key, inner) -> member(place, key, inner) }
        is Collection<*> -> elements(place, value.asSequence())
        is Array<*> -> elements(place, value.asSequence())
        else -> primitives(value)?.let { elements(place, it.asSequence()) }
    }

private fun member(place: String, key: Any?, value: Any?): Part {
    val name = keyOf(key)
    return when {
        name == null ->
            Part(place, value, Unusable("unsupported_key", "$place has a key that is ${kind(key)}; keys must be texts"))
        utf8Length(name) < 0 -> Part(place, value, halfAPair("a key of $place"))
        else -> Part("$place.${shown(name)}", value)
    }
}

private fun elements(place: String, values: Sequence<*>) =
    values.mapIndexed { index, inner -> Part("$place[$index]", inner) }

private fun halfAPair(place: String) = Unusable("lone_surrogate", "$place holds half of a surrogate pair")

/** Whether a value that holds no others has a form in JSON. */
private fun isHeld(value: Any?): Boolean =
    try {
        StringBuilder().appendValue(value, 1)
        true
    } catch (_: Fault) {
        false
    }

internal fun kind(value: Any?): String =
    if (value == null) "null" else value.javaClass.simpleName.ifEmpty { value.javaClass.name }

private const val SHOWN = 40

private fun shown(key: String) = if (key.length <= SHOWN) key else key.take(SHOWN) + "…"

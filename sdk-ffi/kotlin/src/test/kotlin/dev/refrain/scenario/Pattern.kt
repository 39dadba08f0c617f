package dev.refrain.scenario

import java.math.BigDecimal
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive

// Values and patterns of the scenarios, as `tests/scenarios/README.md` has them. JSON is maps, lists, texts, numbers,
// booleans and null here, so that a value may also be what JSON cannot say.

/** What a scenario remembers, by name. */
internal class Remembered {
    private val texts = HashMap<String, String>()

    operator fun get(name: Any?): String = checkNotNull(texts[name]) { "nothing is remembered as $name" }

    operator fun set(name: String, text: String) {
        texts[name] = text
    }
}

/** What was found is not what was wanted. A pattern that cannot be understood is none of these. */
internal class Mismatch(message: String) : Exception(message)

internal fun mismatch(message: String): Nothing = throw Mismatch(message)

/** What stands for a member that is not there. */
internal object Absent {
    override fun toString(): String = "nothing"
}

/** What JSON says. */
internal fun said(json: JsonElement): Any? =
    when (json) {
        is JsonObject -> json.mapValues { said(it.value) }
        is JsonArray -> json.map { said(it) }
        is JsonNull -> null
        is JsonPrimitive ->
            when {
                json.isString -> json.content
                json.content == "true" || json.content == "false" -> json.content.toBoolean()
                else -> json.content.toLongOrNull() ?: json.content.toDouble()
            }
    }

/** [said] the other way round. */
internal fun json(value: Any?): JsonElement =
    when (value) {
        is Map<*, *> -> JsonObject(value.entries.associate { it.key as String to json(it.value) })
        is List<*> -> JsonArray(value.map { json(it) })
        is String -> JsonPrimitive(value)
        is Boolean -> JsonPrimitive(value)
        is Number -> JsonPrimitive(value)
        else -> JsonNull
    }

/** What a value stands for. */
internal fun value(of: Any?, index: Int, remembered: Remembered): Any? {
    val (word, argument) =
        wordIn(of)
            ?: return when (of) {
                is Map<*, *> -> of.mapValues { value(it.value, index, remembered) }
                is List<*> -> of.map { value(it, index, remembered) }
                else -> of
            }
    return when (word) {
        "@number" -> checkNotNull(NUMBERS[argument]) { "`$argument` is no number that JSON does not have" }
        "@text" -> {
            val (text, count) = argument as List<*>
            (text as String).repeat((count as Long).toInt())
        }
        "@half" -> argument as String + "\ud83d"
        "@members" -> (0 until argument as Long).associate { "p$it" to it }
        "@remembered" -> remembered[argument]
        "@index" -> index.toLong().also { mustBeTrue(word, argument) }
        else -> error("`$word` is no word for a value")
    }
}

private val NUMBERS =
    mapOf("NaN" to Double.NaN, "Infinity" to Double.POSITIVE_INFINITY, "-Infinity" to Double.NEGATIVE_INFINITY)

/** Whether it matches. */
internal fun matches(pattern: Any?, found: Any?, index: Int, remembered: Remembered): Boolean =
    try {
        compare(pattern, found, index, remembered, "it")
        true
    } catch (_: Mismatch) {
        false
    }

/**
 * @param found [Absent] where there is nothing.
 * @throws Mismatch it does not match.
 */
internal fun compare(pattern: Any?, found: Any?, index: Int, remembered: Remembered, place: String) {
    val word = wordIn(pattern)
    if (word != null) {
        if (!holds(word, found, index, remembered, place)) mismatch("$place: wanted $pattern, found ${shown(found)}")
    } else if (pattern is Map<*, *> && found is Map<*, *>) {
        for ((name, wanted) in pattern) {
            compare(wanted, if (name in found) found[name] else Absent, index, remembered, "$place.$name")
        }
    } else if (pattern is List<*> && found is List<*>) {
        if (pattern.size != found.size) mismatch("$place: wanted ${pattern.size} elements, found ${shown(found)}")
        for ((at, wanted) in pattern.withIndex()) compare(wanted, found[at], index, remembered, "$place[$at]")
    } else if (!equal(pattern, found)) {
        mismatch("$place: wanted ${shown(pattern)}, found ${shown(found)}")
    }
}

private fun holds(word: Pair<String, Any?>, found: Any?, index: Int, remembered: Remembered, place: String): Boolean {
    val (name, argument) = word
    return when (name) {
        "@absent" -> (found === Absent).also { mustBeTrue(name, argument) }
        "@present" -> (found !== Absent).also { mustBeTrue(name, argument) }
        "@remembered" -> found == remembered[argument]
        "@other_than" -> remembered[argument].let { found is String && found != it }
        "@index" -> equal(index, found).also { mustBeTrue(name, argument) }
        "@at_least" -> (argument as Number).let { found is Number && decimal(found) >= decimal(it) }
        "@at_most" -> (argument as Number).let { found is Number && decimal(found) <= decimal(it) }
        "@each" -> {
            if (found !is List<*> || found.isEmpty()) return false
            for ((at, one) in found.withIndex()) compare(argument, one, index, remembered, "$place[$at]")
            true
        }
        else -> error("`$name` is no word for a pattern")
    }
}

/** The word of an object that stands for something else, and its argument. */
private fun wordIn(of: Any?): Pair<String, Any?>? {
    val words = (of as? Map<*, *>)?.entries.orEmpty().filter { (it.key as String).startsWith("@") }
    val (word, argument) = words.firstOrNull() ?: return null
    check((of as Map<*, *>).size == 1) { "$word stands beside other members" }
    return word as String to argument
}

private fun mustBeTrue(word: String, argument: Any?) {
    check(argument == true) { "$word is true, not $argument" }
}

/** A number is its value: 1 is 1.0. */
private fun equal(one: Any?, other: Any?): Boolean =
    if (one is Number && other is Number) decimal(one).compareTo(decimal(other)) == 0 else one == other

private fun decimal(number: Number) = BigDecimal(number.toString())

private const val SHOWN = 400

private fun shown(found: Any?): String {
    val text = if (found is String) "\"$found\"" else found.toString()
    return if (text.length <= SHOWN) text else text.take(SHOWN) + "…"
}

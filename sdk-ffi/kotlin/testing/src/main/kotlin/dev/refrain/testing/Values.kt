package dev.refrain.testing

import java.math.BigDecimal
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.booleanOrNull
import kotlinx.serialization.json.double
import kotlinx.serialization.json.longOrNull

/** JSON as maps, lists, texts, `Long`s, `Double`s and Booleans. */
internal fun plainJson(text: String): Any? = plain(Json.parseToJsonElement(text))

private fun plain(element: JsonElement): Any? =
    when (element) {
        is JsonNull -> null
        is JsonObject -> element.mapValues { plain(it.value) }
        is JsonArray -> element.map(::plain)
        is JsonPrimitive ->
            if (element.isString) element.content else element.booleanOrNull ?: element.longOrNull ?: element.double
    }

/** Whether a value that was sent is what is wanted; a map may hold more. */
internal fun contains(value: Any?, wanted: Any?): Boolean =
    when (wanted) {
        is Map<*, *> -> value is Map<*, *> && wanted.all { (name, part) -> name in value && contains(value[name], part) }
        is Collection<*> ->
            value is List<*> && value.size == wanted.size && value.zip(wanted).all { (one, other) -> contains(one, other) }
        is Array<*> -> contains(value, wanted.asList())
        // 1 and 1.0 are the same number on the wire.
        is Number -> value is Number && decimal(value).compareTo(decimal(wanted)) == 0
        is Enum<*> -> value == wanted.name
        is CharSequence, is Char -> value == wanted.toString()
        else -> value == wanted
    }

/** What of the properties that are wanted is not so. */
internal fun differences(value: Any?, wanted: Map<String, Any?>): List<String> {
    val properties = value as? Map<*, *> ?: emptyMap<String, Any?>()
    return wanted
        .filterNot { (name, part) -> name in properties && contains(properties[name], part) }
        .map { (name, part) ->
            if (name in properties) "\"$name\" is ${shown(properties[name])}, not ${shown(part)}" else "\"$name\" is missing"
        }
}

private fun decimal(number: Number) = BigDecimal(number.toString())

/** The text "1" and the number are to look different. */
private fun shown(value: Any?) = if (value is CharSequence) "\"$value\"" else "$value"

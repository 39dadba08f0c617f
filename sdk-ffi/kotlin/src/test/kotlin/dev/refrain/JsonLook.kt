package dev.refrain

import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive

/** A member that is a text or a number, as text. */
fun JsonObject.text(name: String): String = getValue(name).jsonPrimitive.content

/** An event's properties. */
val JsonObject.properties: JsonObject
    get() = getValue("properties").jsonObject

/** Only the members of these names. */
fun JsonObject.only(vararg names: String): Map<String, JsonElement> = filterKeys { it in names }

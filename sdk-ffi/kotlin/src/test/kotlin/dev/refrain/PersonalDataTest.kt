package dev.refrain

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.jsonObject
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** The detector for personal data: counted, and never recorded where that was asked for. */
class PersonalDataTest : FolderTest() {
    private var found = emptyMap<String, Long>()

    private fun recorded(configure: Settings.() -> Unit = {}): Map<String, JsonElement> {
        val client = granted(configure)
        assertEquals(Outcome.Accepted, client.track("Paid", PROPERTIES))
        assertTrue(client.flushBlocking(30.0))
        found = client.stats().personalData
        return collector.events.last().properties.only(*PROPERTIES.keys.toTypedArray())
    }

    @Test
    fun `off unless chosen`() {
        assertEquals(json(SAID), recorded())
        assertEquals(FOUND.mapValues { 0L }, found)
    }

    @Test
    fun `observe counts`() {
        assertEquals(json(SAID), recorded { personalData = PersonalDataMode.OBSERVE })
        assertEquals(FOUND, found)
    }

    @Test
    fun `redact records placeholders`() {
        val redacted = json("""{"note":"mail [email], pay [card]","to":["[iban]"],"card":"[card]","plan":"pro"}""")
        assertEquals(redacted, recorded { personalData = PersonalDataMode.REDACT })
        assertEquals(FOUND, found)
    }

    @Test
    fun `what is allowed by name stays`() {
        val redacted = json(SAID) + json("""{"to":["[iban]"],"card":"[card]"}""")
        val recorded =
            recorded {
                personalData = PersonalDataMode.REDACT
                personalDataAllow = listOf("note")
            }
        assertEquals(redacted, recorded)
    }

    @Test
    fun `reject records nothing and says why`() {
        val client = granted { personalData = PersonalDataMode.REJECT }
        val outcome = client.track("Paid", PROPERTIES) as Outcome.Rejected
        assertEquals("personal_data", outcome.reason)
        assertFalse("alice" in outcome.toString())
        assertEquals(Outcome.Accepted, client.track("Paid", mapOf("plan" to "pro")))
        assertTrue(client.flushBlocking(30.0))
        assertEquals(1, collector.events.size)
        val stats = client.stats()
        assertEquals(Triple(1L, 1L, FOUND), Triple(stats.tracked, stats.rejected, stats.personalData))
    }

    @Test
    fun `what is denied by name is never recorded`() {
        val client = granted { denyList = listOf("card", "to") }
        assertEquals(Outcome.Accepted, client.register(mapOf("to" to "x", "region" to "eu")))
        assertEquals(Outcome.Accepted, client.track("Paid", PROPERTIES))
        assertTrue(client.flushBlocking(30.0))
        val properties = collector.events.last().properties
        assertEquals("pro" to "eu", properties.text("plan") to properties.text("region"))
        assertFalse("card" in properties || "to" in properties)
    }
}

private val PROPERTIES =
    mapOf(
        "note" to "mail alice@example.com, pay 4111 1111 1111 1111",
        "to" to listOf("DE89370400440532013000"),
        "card" to 4111111111111111L,
        "plan" to "pro",
    )
private const val SAID =
    """{"note":"mail alice@example.com, pay 4111 1111 1111 1111","to":["DE89370400440532013000"],
    "card":4111111111111111,"plan":"pro"}"""
private val FOUND = mapOf("email" to 1L, "card" to 2L, "iban" to 1L, "jwt" to 0L)

private fun json(text: String): Map<String, JsonElement> = Json.parseToJsonElement(text).jsonObject.toMap()

package dev.refrain

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.jsonObject
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** The app's own filter: a last look at what is about to be recorded. */
class FilterTest : FolderTest() {
    private val seen = mutableListOf<Subject>()

    private val withoutStreets = Filter { subject, properties ->
        seen.add(subject)
        properties.remove("street")
        for ((name, value) in properties) if (value is Map<*, *>) properties[name] = value - "street"
        properties.takeUnless { subject == Subject.Event("Debug") }
    }

    private fun reason(outcome: Outcome) = (outcome as Outcome.Rejected).reason

    @Test
    fun `what it takes out is never recorded`() {
        val client = granted { filter = withoutStreets }
        val address = mapOf("street" to "Elm Street 9", "city" to "Bonn")
        assertEquals(Outcome.Accepted, client.register(address + ("region" to "eu")))
        assertEquals(Outcome.Accepted, client.track("Moved", address + ("to" to address)))
        assertEquals(Outcome.Accepted, client.profile().set(address))
        assertEquals("filtered", reason(client.track("Debug")))
        assertTrue(client.flushBlocking(30.0))

        val moved = collector.events.single().properties
        val wanted = Json.parseToJsonElement("""{"city":"Bonn","to":{"city":"Bonn"},"region":"eu"}""").jsonObject.toMap()
        assertEquals(wanted, moved.only("city", "to", "region"))
        assertTrue("street" !in moved)
        assertEquals("""{"city":"Bonn"}""", collector.updates.single()["\$set"].toString())
        val subjects = listOf(Subject.Registered, Subject.Event("Moved"), Subject.Profile, Subject.Event("Debug"))
        assertEquals(subjects, seen)
        assertEquals(1L, client.stats().rejected)
    }

    @Test
    fun `whose profile it is, is not for it to see or say`() {
        val names = mutableListOf<Set<String>>()
        val client =
            granted {
                filter = Filter { _, properties ->
                    names.add(properties.keys.toSet())
                    mapOf("\$set" to properties["\$set"], "\$group_key" to "company", "\$group_id" to "another")
                }
            }
        assertEquals(Outcome.Accepted, client.group("company", "acme").set(mapOf("city" to "Bonn")))
        assertTrue(client.flushBlocking(30.0))
        assertEquals(listOf(setOf("\$set")), names)
        assertEquals("acme", collector.updates.single().text("\$group_id"))
    }

    @Test
    fun `what is held has passed it`() {
        val client = client { filter = withoutStreets }
        assertEquals(Outcome.Held, client.track("Early", mapOf("street" to "Elm Street 9")))
        assertEquals(1, seen.size)
        client.optInBlocking()
        assertTrue(client.flushBlocking(30.0))
        assertTrue("street" !in collector.events.first { it.text("event") == "Early" }.properties)
    }

    @Test
    fun `what it cannot judge is not recorded, and the log says so once`() {
        val client = granted { filter = Filter { _, _ -> error("a fault of the app's") } }
        val logged = Logged()
        try {
            repeat(2) {
                val outcome = client.track("Moved", mapOf("city" to "Bonn")) as Outcome.Rejected
                assertEquals("filtered", outcome.reason)
                assertEquals("the filter that this app has set has thrown IllegalStateException", outcome.hint)
            }
            assertEquals(2L, client.stats().rejected)
            assertTrue("throws IllegalStateException" in logged.records.single().message)
        } finally {
            logged.close()
        }
    }

    @Test
    fun `what it throws does not reach the app, whatever it is`() {
        val client = granted { filter = Filter { _, _ -> TODO() } }
        assertEquals("filtered", reason(client.track("Moved")))
    }

    @Test
    fun `what is no map or has no end is not for the filter to refuse`() {
        val client = granted { filter = withoutStreets }
        assertEquals("not_an_object", reason(JavaCaller.registerNull(client)))
        val endless = mutableMapOf<String, Any?>()
        endless["a"] = endless
        endless["b"] = endless
        assertEquals("nested_too_deep", reason(client.track("Moved", endless)))
        assertEquals("too_large", reason(client.track("Moved", mapOf("many" to manyInFew()))))
        assertEquals("too_large", reason(client.track("Moved", mapOf("many" to IntArray(1_000_001)))))
        assertTrue(seen.isEmpty())
        assertEquals(4L, client.stats().rejected)
    }

    @Test
    fun `what is recorded is what it saw`() {
        val address = mutableMapOf<String, Any?>("city" to "Bonn")
        val numbers = intArrayOf(1)
        val client =
            granted {
                filter = Filter { _, properties ->
                    address["street"] = "Elm Street 9"
                    numbers[0] = 2
                    properties
                }
            }
        assertEquals(Outcome.Accepted, client.track("Moved", mapOf("to" to address, "numbers" to numbers)))
        assertTrue(client.flushBlocking(30.0))
        val wanted = Json.parseToJsonElement("""{"to":{"city":"Bonn"},"numbers":[1]}""").jsonObject.toMap()
        assertEquals(wanted, collector.events.single().properties.only("to", "numbers"))
    }

    @Test
    fun `what it makes has to be fit`() {
        val client = granted { filter = Filter { _, _ -> mapOf("ratio" to Double.NaN) } }
        assertEquals("not_finite", reason(client.track("Moved")))
    }
}

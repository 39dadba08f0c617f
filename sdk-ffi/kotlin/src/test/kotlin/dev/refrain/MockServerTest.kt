package dev.refrain

import java.io.File
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.runBlocking
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.jsonObject
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** Against the mock server itself. */
class MockServerTest : FolderTest() {
    private val store: File by lazy { above.resolve("store").toFile() }
    private val server by lazy { MockServer(store) }

    private fun recorder(): Refrain = client { endpoint = server.url }

    private fun names() = server.events().map { it.text("event") }

    private fun fault(rule: String) {
        server.post("/mock/faults", rule)
    }

    @AfterEach
    fun stop() {
        server.close()
    }

    @Test
    fun `records, objects and is remembered`() {
        val notes = (0 until 20).associate { "note $it" to "ä".repeat(200) } // enough to be compressed
        val client = recorder()
        assertEquals(Outcome.Held, client.track("asked"))
        runBlocking {
            client.optIn()
            client.identify("ada")
            client.track("Bought", notes + ("item" to "umbrella"))
            assertTrue(client.flush(60.seconds))
        }
        val events = server.events().associate { it.text("event") to it.properties }
        assertEquals(setOf("asked", "\$opt_in", "\$identify", "Bought"), events.keys)
        assertEquals("umbrella", events.getValue("Bought").text("item"))
        assertEquals(notes, notes.keys.associateWith { events.getValue("Bought").text(it) })
        assertEquals("0", server.get("/mock/stats").text("rejected"))

        client.track("not sent yet")
        client.optOutBlocking()
        client.track("refused")
        client.close(60.seconds)
        val later = recorder()
        assertTrue(later.hasOptedOut())
        later.track("refused too")
        later.flushBlocking(60.0)
        assertEquals(emptySet<String>(), names().toSet() - events.keys - "not sent yet")
    }

    @Test
    fun `an erasure ends with a receipt, and nothing of the device is left`() {
        val client = recorder()
        client.optInBlocking()
        client.track("planted-5c1e", mapOf("note" to "planted-91aa"))
        assertTrue(client.flushBlocking(60.0))
        assertEquals(1, server.events("planted-5c1e").size)

        client.optOutBlocking(erase = true)
        do client.flushBlocking(60.0) while (client.audit().outbox.single().state != "completed")

        val erasure = client.audit().outbox.single()
        assertEquals("device", erasure.kind)
        val receipt = Json.parseToJsonElement(erasure.answer!!).jsonObject.getValue("receipt").jsonObject
        assertEquals("2", receipt.getValue("counts").jsonObject.text("events")) // `$opt_in` too
        assertEquals(emptyList<String>(), names())
        server.close()
        assertNotEquals(0, store.walk().count { it.isFile })
        val bytes = store.walk().filter { it.isFile }.map { it.readBytes().decodeToString() }
        assertEquals(0, bytes.count { "planted-5c1e" in it || "planted-91aa" in it })
    }

    @Test
    fun `what a busy server sends away comes again`() {
        fault("""{"match":{"path":"/track","count":1},"act":{"status":429,"retry_after":1}}""")
        fault("""{"match":{"path":"/track","count":1},"act":{"status":503}}""")
        val client = recorder()
        client.optInBlocking()
        client.track("kept")
        assertFalse(client.flushBlocking(60.0))
        server.waitFor("kept")
        assertTrue(client.flushBlocking(60.0))
        assertEquals(listOf("\$opt_in", "kept"), names().sorted())
        assertEquals(2L to 2L, client.stats().let { it.tracked to it.delivered })
    }

    @Test
    fun `an answer that is cut off makes no second record`() {
        fault("""{"match":{"path":"/track","count":1},"act":{"close":"after_store"}}""")
        val client = recorder()
        client.optInBlocking()
        client.track("once")
        client.flushBlocking(60.0)
        while (client.stats().delivered < 2) client.flushBlocking(60.0)
        assertEquals(1, server.events("once").size)
    }

    @Test
    fun `a queue outlives its client`() {
        val away = client { endpoint = nobody() }
        away.optInBlocking()
        away.track("kept", mapOf("where" to "Köln"))
        assertFalse(away.close(0.seconds))

        val later = recorder()
        later.flushBlocking(60.0)
        server.waitFor("kept")
        assertEquals("Köln", server.events("kept").single().properties.text("where"))
        assertEquals(2, later.stats().let { it.recovered + it.adopted })
    }
}

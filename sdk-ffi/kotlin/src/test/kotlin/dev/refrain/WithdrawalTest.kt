package dev.refrain

import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.Job
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

private const val PLANTED = "planted-4711-value"
private const val DENIED = "\"decision\":\"denied\""

/**
 * A "no" holds: on the wire, in the folder, in the next process, and after a later "yes". Rule ids refer to
 * `sdk-core/src/engine/rules.md`.
 */
class WithdrawalTest : FolderTest() {
    private fun refusal(outcome: Outcome) = (outcome as Outcome.Rejected).reason

    @Test
    fun `C3 C4 only the consent record is left`() {
        val client =
            granted {
                endpoint = nobody()
                flushInterval = 3600.seconds
            }
        client.register(mapOf("super" to PLANTED))
        client.identify("user-$PLANTED")
        client.track("Event $PLANTED", mapOf("value" to PLANTED))
        client.flushBlocking(30.0)
        val device = client.deviceId!!
        // What is looked for below can be found.
        assertNotEquals(emptyList<String>(), holding(PLANTED))
        assertNotEquals(emptyList<String>(), holding("Event $PLANTED"))
        assertNotEquals(emptyList<String>(), holding(device))
        assertTrue(client.stats().queued > 0)

        runBlocking { client.optOut() }

        assertEquals(emptyList<String>(), holding(PLANTED))
        assertEquals(emptyList<String>(), holding(device))
        assertEquals(setOf("consent"), client.audit().files.map { it.kind }.toSet())
        assertNotEquals(emptyList<String>(), holding(DENIED))
        val others = files().filter { it.length() > 0 && DENIED !in it.readBytes().decodeToString() }
        assertEquals(emptyList<Any>(), others)
        assertNull(client.distinctId)
        assertNull(client.deviceId)
        assertTrue(client.hasOptedOut())
        val stats = client.stats()
        assertEquals(0L to 0L, stats.queued to stats.held)
        assertTrue(stats.dropped.getValue("withdrawn") > 0)
    }

    @Test
    fun `C5 nothing leaves after the call returned`() {
        val client = granted()
        client.track("before")
        assertTrue(client.flushBlocking(30.0))
        client.track("not yet sent")

        runBlocking { client.optOut() }

        val arrived = collector.requests.size
        val refused =
            listOf(
                client.track("after"),
                client.identify("user-1"),
                client.register(mapOf("a" to 1)),
                client.unregister("a"),
                client.profile().set(mapOf("a" to 1)),
                client.group("company", "acme").set(mapOf("a" to 1)),
            )
        assertEquals(List(refused.size) { "denied" }, refused.map { refusal(it) })
        client.reset()
        client.flushBlocking(30.0)
        client.close(30.seconds)
        assertEquals(arrived, collector.requests.size)
        assertFalse("after" in collector.names)
    }

    @Test
    fun `C5 C7 another process remembers`() {
        val client = granted()
        client.track("before")
        assertTrue(client.flushBlocking(30.0))
        client.optOutBlocking()
        client.close()
        val arrived = collector.requests.size

        assertEquals("true DENY null denied", OtherJvm.run("remember", collector.url, folder))
        assertEquals(arrived, collector.requests.size)
    }

    @Test
    fun `C5 a running process obeys another one's no`() {
        val client = granted { flushInterval = 3600.seconds }
        client.track("waits")
        OtherJvm.run("object", collector.url, folder)
        client.flushBlocking(30.0)
        client.close(30.seconds)
        assertEquals(emptyList<String>(), collector.names)
    }

    @Test
    fun `C6 a later yes brings nothing back`() {
        val client = granted { flushInterval = 3600.seconds }
        client.track("old")
        client.flushBlocking(0.0)
        val first = client.deviceId
        client.optOutBlocking()
        val arrived = collector.requests.size
        client.track("refused")
        runBlocking { client.optIn() }
        val second = client.deviceId
        client.track("new")
        assertTrue(client.flushBlocking(30.0))
        val later = collector.requests.drop(arrived).flatMap { it.records }
        assertEquals(listOf("\$opt_in", "new"), later.map { it.text("event") }.sorted())
        assertNotNull(second)
        assertNotEquals(first, second)
        assertEquals(setOf(second), later.map { it.properties.text("\$device_id") }.toSet())
    }

    @Test
    fun `C11 agreeing twice records one transition`() {
        val client = client()
        client.optInBlocking()
        client.optInBlocking()
        assertTrue(client.flushBlocking(30.0))
        assertEquals(listOf("\$opt_in"), collector.names)
    }

    @Test
    fun `a decision is carried out even where its coroutine is cancelled`() {
        val client = granted()
        client.track("before")
        runBlocking {
            val cancelled = Job().apply { cancel() }
            launch(cancelled) { client.optOut() }.join() // not even begun: a coroutine of a cancelled scope is none
            assertFalse(client.hasOptedOut())
            val running =
                launch {
                    coroutineContext.cancel()
                    client.optOut()
                }
            running.join()
            assertTrue(running.isCancelled)
        }
        assertTrue(client.hasOptedOut())
    }

    @Test
    fun `pending writes and sends nothing until the person agrees`() {
        val client = client()
        assertEquals(Outcome.Held, client.track("asked", mapOf("value" to PLANTED)))
        assertEquals(Verdict.HOLD, client.consent().verdict)
        assertNull(client.deviceId)
        client.identify("user-1")
        client.flushBlocking(30.0)
        assertFalse(folder.exists())
        assertEquals(0, collector.requests.size)
        client.optInBlocking()
        assertTrue(client.flushBlocking(30.0))
        assertTrue("asked" in collector.names)
        assertTrue(folder.exists())
    }

    @Test
    fun `pending then no leaves only the no`() {
        val client = client()
        client.track("asked", mapOf("value" to PLANTED))
        client.optOutBlocking()
        client.close(30.seconds)
        assertEquals(emptyList<String>(), holding(PLANTED))
        assertNotEquals(emptyList<String>(), holding(DENIED))
        assertEquals(0, collector.requests.size)
    }

    @Test
    fun `C10 reading changes nothing`() {
        val client = client()
        assertFalse(client.hasOptedOut())
        val consent = client.consent()
        assertEquals(Decision.UNSET to Verdict.HOLD, consent.decision to consent.verdict)
        assertEquals("default", consent.reason)
        assertTrue(consent.sentence.endsWith("."))
        client.stats()
        client.audit()
        client.distinctId
        client.close(30.seconds)
        assertFalse(folder.exists())
    }

    @Test
    fun `a signal is a no until the person decides`() {
        val client = granted()
        client.signals(gpc = true)
        assertEquals("gpc", client.consent().reason)
        assertEquals("denied", refusal(client.track("refused")))
        client.signals(host = true)
        assertEquals("host", client.consent().reason)
        assertFalse(client.hasOptedOut())
        assertEquals(0, collector.requests.size)
        client.optInBlocking()
        assertEquals(Verdict.ALLOW, client.consent().verdict)
    }

    @Test
    fun `C3 a signal that is known at the start comes before everything`() {
        val client = granted { signals = Signals(dnt = true) }
        assertEquals("dnt", client.consent().reason)
        assertEquals("denied", refusal(client.track("refused")))
        client.flushBlocking(30.0)
        assertFalse(folder.exists())
    }

    @Test
    fun `a signal that is not honoured`() {
        val client =
            granted {
                honorGpc = false
                honorDnt = false
            }
        client.signals(gpc = true, dnt = true)
        assertEquals(Verdict.ALLOW, client.consent().verdict)
    }

    @Test
    fun `a default of no`() {
        val client = client { defaultConsent = DefaultConsent.DENIED }
        assertEquals("default", client.consent().reason)
        assertEquals("denied", refusal(client.track("refused")))
        client.close(30.seconds)
        assertFalse(folder.exists())
    }

    @Test
    fun `C8 a damaged record is a no`() {
        val client = granted()
        client.optInBlocking()
        client.close()
        val records = files().filter { "\"decision\"" in it.readBytes().decodeToString() }
        assertNotEquals(0, records.size)
        for (record in records) record.writeBytes(byteArrayOf(0, -1, 7))
        val later = granted()
        later.flushBlocking(30.0)
        val consent = later.consent()
        assertEquals(Verdict.DENY to "store_unavailable", consent.verdict to consent.reason)
        assertEquals("denied", refusal(later.track("refused")))
    }

    @Test
    fun `a folder that cannot be made`() {
        folder.writeText("a file stands where the folder should")
        val client = granted()
        val error = assertThrows(ConsentException::class.java) { client.optOutBlocking() }
        assertEquals(ConsentException.Code.NOT_RECORDED, error.code)
        assertTrue("the data folder cannot be written" in error.message!!, error.message)
        assertEquals("denied", refusal(client.track("refused")))
        assertEquals(0, collector.requests.size)
    }

    @Test
    fun `C8 without a folder only this process knows`() {
        val client = granted { dataDir = null }
        assertEquals("store_unavailable", client.consent().reason)
        assertEquals("denied", refusal(client.track("refused")))
        client.optInBlocking()
        client.track("agreed")
        assertTrue(client.flushBlocking(30.0))
        assertTrue("agreed" in collector.names)
        val arrived = collector.requests.size
        val error = assertThrows(ConsentException::class.java) { runBlocking { client.optOut() } }
        assertEquals(ConsentException.Code.NOT_RECORDED, error.code)
        assertTrue(client.hasOptedOut())
        assertEquals("denied", refusal(client.track("refused")))
        client.flushBlocking(30.0)
        assertEquals(arrived, collector.requests.size)
    }
}

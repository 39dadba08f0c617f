package dev.refrain.testing

import dev.refrain.DefaultConsent
import dev.refrain.Outcome
import dev.refrain.Settings
import java.io.File
import java.util.Date
import kotlin.time.Duration.Companion.seconds
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** The test kit finds what is wrong with an app, and nothing where nothing is. */
class TestClientTest {
    private val open = mutableListOf<TestClient>()

    private fun test(configure: Settings.() -> Unit = {}) = TestClient(configure = configure).also(open::add)

    private fun granted() = test { defaultConsent = DefaultConsent.GRANTED }

    @AfterEach
    fun end() {
        for (test in open) test.close()
    }

    private fun refuses(vararg texts: String, expectation: () -> Unit) {
        val message = assertThrows(AssertionError::class.java, expectation).message.orEmpty()
        for (text in texts) assertTrue(text in message) { "\"$text\" is not in: $message" }
    }

    @Test
    fun `an app is seen through its own client`() {
        val test = test()
        val of = mapOf("kind" to "rain", "size" to 2)
        test.client.track("Bought", mapOf("item" to "umbrella", "price" to 12.5, "of" to of, "in" to listOf("sale", of)))
        test.expectNothingSent()
        test.optIn()
        val wanted = mapOf("of" to mapOf("size" to 2.0), "in" to arrayOf("sale", mapOf("kind" to "rain")))
        val event = test.expectEvent("Bought", wanted)
        assertEquals(12.5, (event["properties"] as Map<*, *>)["price"])
        test.client.profile().set(mapOf("plan" to "pro"))
        test.expectProfile(mapOf("\$set" to mapOf("plan" to "pro")))
        test.optOut()
        test.client.track("Bought", mapOf("item" to "scarf"))
        test.expectNothingSent()
        test.expectNothingKept()
    }

    @Test
    fun `what is otherwise is told`() {
        val test = test()
        refuses("no event \"Bought\" has arrived", "optIn()") { test.expectEvent("Bought") }
        test.optIn()
        test.client.track("Bought", mapOf("item" to "umbrella", "count" to 1, "at" to Date(0)))
        refuses("\"item\" is \"umbrella\", not \"scarf\"") { test.expectEvent("Bought", mapOf("item" to "scarf")) }
        refuses("\"count\" is 1, not \"1\"") { test.expectEvent("Bought", mapOf("count" to "1")) }
        refuses("\"count\" is 1, not true") { test.expectEvent("Bought", mapOf("count" to true)) }
        refuses("\"size\" is missing") { test.expectEvent("Bought", mapOf("size" to null)) }
        refuses("no profile update", "arrived: \$opt_in, Bought") { test.expectProfile(mapOf("\$set" to emptyMap<String, Any>())) }
        refuses("something has left", "umbrella") { test.expectNothingSent() }
        test.expectNothingSent()
        test.expectEvent("Bought", mapOf("at" to "1970-01-01T00:00:00"))
        refuses("expected before", "2 delivered") { test.expectEvent("Bought") }
        refuses("something is kept", test.client.deviceId.orEmpty()) { test.expectNothingKept() }
    }

    @Test
    fun `what the collector refuses is sent again`() {
        val test = granted()
        test.answerNext(503)
        test.client.track("Bought")
        test.expectEvent("Bought")
        assertEquals(listOf("Bought"), test.events.map { it["event"] })
        assertEquals(listOf(503, 200), test.requests.map { it.status })
    }

    @Test
    fun `what the collector does not get is there after a restart`() {
        val test = granted()
        test.collectorAway = true
        test.client.track("Bought")
        refuses("the collector is away", "1 queued") { test.expectEvent("Bought", timeout = 0.0) }
        test.restart()
        assertEquals(emptyList<Any>(), test.requests)
        test.collectorAway = false
        val properties = test.expectEvent("Bought")["properties"] as Map<*, *>
        assertEquals(test.client.deviceId, properties["\$device_id"])
        test.optOut()
        assertTrue(test.restart().hasOptedOut())
        test.expectNothingKept()
    }

    @Test
    fun `what a person asks for is not something that has left`() {
        val test = granted()
        test.client.identify("user-1")
        test.client.track("Bought")
        test.expectEvent("Bought")
        // Through the app's own client.
        test.client.optOutBlocking(erase = true, deleteProfile = true)
        test.expectNothingKept()
        // It waits for what a person has asked for.
        test.client.close(60.seconds)
        test.expectNothingSent()
        val outbox = test.client.audit().outbox.associateBy { it.kind }
        assertEquals(mapOf("device" to "completed", "profile" to "completed"), outbox.mapValues { it.value.state })
        assertTrue("\"receipt\":{\"events\":2}" in outbox.getValue("device").answer.orEmpty(), outbox.toString())
    }

    @Test
    fun `a deletion that the app asks for is something that has left`() {
        val test = granted()
        test.client.identify("user-1")
        test.client.profile().delete()
        refuses("something has left", "\$delete") { test.expectNothingSent() }
    }

    @Test
    fun `the first call counts as every other one`() {
        assertEquals(Outcome.Accepted, granted().client.track("Bought"))
    }

    @Test
    fun `each has a folder of its own`() {
        val one = granted()
        val other = granted()
        one.optOut()
        other.client.track("Bought")
        other.expectEvent("Bought")
        one.expectNothingSent()
        // It is not the app's to say.
        val elsewhere = test {
            dataDir = File("a folder that nobody can make\u0000")
            endpoint = "no address"
            defaultConsent = DefaultConsent.GRANTED
        }
        elsewhere.client.track("Bought")
        elsewhere.expectEvent("Bought")
    }
}

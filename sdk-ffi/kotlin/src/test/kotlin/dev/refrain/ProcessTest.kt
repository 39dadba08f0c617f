package dev.refrain

import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kotlin.concurrent.thread
import kotlin.time.Duration.Companion.seconds
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** Threads, clients that share, and the end of the JVM. */
class ProcessTest : FolderTest() {
    @Test
    fun `many threads record at once`() {
        val client = granted()
        val refused = AtomicInteger()
        val threads =
            List(8) { number ->
                thread {
                    repeat(500) {
                        val tracked = client.track("é $number", mapOf("at" to it))
                        val registered = client.register(mapOf("thread" to number))
                        if (tracked != Outcome.Accepted || registered != Outcome.Accepted) refused.incrementAndGet()
                    }
                }
            }
        threads.forEach { it.join() }
        assertEquals(0, refused.get())
        assertTrue(client.flushBlocking(60.0))
        assertEquals(4000, collector.events.size)
        for (number in 0 until 8) {
            val own = collector.events.filter { it.text("event") == "é $number" }
            assertEquals((0 until 500).map { "$it" }, own.map { it.properties.text("at") })
        }
        assertEquals(4000L to 4000L, client.stats().let { it.tracked to it.delivered })
    }

    @Test
    fun `two clients on a folder are one person`() {
        val one = granted { flushInterval = 3600.seconds }
        val other = granted { flushInterval = 3600.seconds }
        one.track("one")
        one.close(30.seconds)
        other.track("other")
        assertTrue(other.flushBlocking(30.0)) // over the transport that the closed one brought
        assertEquals(listOf("one", "other"), collector.names.sorted())
        assertEquals(1, collector.events.map { it.properties.text("\$device_id") }.toSet().size)
        other.optOutBlocking()
        assertTrue(one.track("late").isRejected)
    }

    @Test
    fun `settings that contradict an open client are refused in Kotlin's words`() {
        client()
        val error = assertThrows(ConfigException::class.java) { granted() }
        assertTrue("defaultConsent" in error.message!!, error.message)
    }

    @Test
    fun `a program that forgets to close ends, and what it recorded is sent`() {
        assertEquals("", OtherJvm.run("forget", collector.url, folder))
        assertEquals(listOf("forgotten"), collector.names)
    }

    @Test
    fun `what a server records while it drains is kept, and sent the next time`() {
        assertEquals("Accepted", OtherJvm.run("drain", collector.url, folder))
        granted().flushBlocking(30.0)
        assertEquals(listOf("before", "drained"), collector.names)
    }

    @Test
    fun `a program that forgets to close asks for the erasure`() {
        assertEquals("", OtherJvm.run("erase", collector.url, folder))
        assertTrue(collector.requests.any { it.method to it.path == "POST" to "/refrain/v1/erasures" })
    }

    @Test
    fun `a program ends while a request is under way`() {
        collector.hang()
        assertEquals("", OtherJvm.run("hang", collector.url, folder))
        assertTrue(collector.arrived.tryAcquire(60, TimeUnit.SECONDS))
    }

    @Test
    fun `a program ends while a transport hangs for ever`() {
        assertEquals("", OtherJvm.run("hang for ever", collector.url, folder))
    }

    @Test
    fun `what a halted program could not send the next one sends`() {
        OtherJvm.run("halt", nobody(), folder)
        assertEquals(emptyList<String>(), collector.names)
        granted().flushBlocking(30.0)
        assertEquals(listOf("kept"), collector.names)
    }

    @Test
    fun `Java needs no line of Kotlin`() {
        val consent = JavaCaller.journey(collector.url, folder)
        assertEquals(Decision.DENIED, consent.decision)
        assertEquals(listOf("\$opt_in", "Bought"), collector.names)
    }

    @Test
    fun `the package and the library are of one version`() {
        assertEquals(System.getProperty("project.version"), VERSION)
        assertEquals(VERSION, Refrain.version)
    }
}

package dev.refrain

import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit.SECONDS
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

/** What the app hears of where consent stands. */
class ConsentListenerTest : FolderTest() {
    private val heard = LinkedBlockingQueue<Consent>()

    private fun hear() = heard.poll(60, SECONDS)?.run { decision to verdict }

    @Test
    fun `it is told at the start and at every change`() {
        val client = client { onConsent = ConsentListener { heard.add(it) } }
        assertEquals(Decision.UNSET to Verdict.HOLD, hear())
        client.optInBlocking()
        assertEquals(Decision.GRANTED to Verdict.ALLOW, hear())
        client.optOutBlocking()
        assertEquals(Decision.DENIED to Verdict.DENY, hear())
    }

    @Test
    fun `one that throws is asked again`() {
        val client =
            client {
                onConsent = ConsentListener {
                    heard.add(it)
                    error("no banner")
                }
            }
        assertEquals(Decision.UNSET to Verdict.HOLD, hear())
        client.optInBlocking()
        assertEquals(Decision.GRANTED to Verdict.ALLOW, hear())
    }
}

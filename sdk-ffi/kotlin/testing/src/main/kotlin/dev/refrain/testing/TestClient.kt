package dev.refrain.testing

import dev.refrain.Refrain
import dev.refrain.Settings
import dev.refrain.Verdict
import java.nio.file.Files
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlin.time.DurationUnit
import kotlin.time.TimeSource

/**
 * A client for tests, with its own data folder and collector, to check that the right events leave and that after a
 * "no" nothing does. [client] is a real [Refrain]: the engine, the store on disk and the threads are the ones that
 * ship. Only the collector is in memory, and answers as it is told.
 *
 * Time is real. No expectation waits for an interval: queued records are sent at once. A retry takes as long as it
 * takes in an app.
 *
 * ```kotlin
 * TestClient().use { test ->
 *     val shop = Shop(test.client)              // in place of the app's own
 *     shop.sell("umbrella", 12.5)
 *     test.expectNothingSent()                  // nobody has decided yet
 *     test.optIn()
 *     test.expectEvent("Bought", mapOf("item" to "umbrella"))
 *     test.optOut()
 *     shop.sell("scarf", 9.0)
 *     test.expectNothingSent()
 *     test.expectNothingKept()
 * }
 * ```
 *
 * @param configure the app's settings. `endpoint`, `dataDir` and `transport` are always those of the test.
 */
public class TestClient
@JvmOverloads
constructor(private val token: String = "test-token", private val configure: Settings.() -> Unit = {}) : AutoCloseable {
    private val folder = Files.createTempDirectory("refrain-test-").toFile()
    private val collector = MemoryCollector()

    /** The client to give to the app. [restart] starts another one. */
    public var client: Refrain = start()
        private set

    /** Whether the collector is unreachable, so that no request leaves. */
    public var collectorAway: Boolean by collector::isAway

    /**
     * Every request that has left so far, including those of the erasure outbox, whether or not the collector took it.
     */
    public val requests: List<SentRequest>
        get() = collector.requests

    /** Every event that the collector has taken so far, in order, as it was sent: `event` and `properties`. */
    public val events: List<Map<String, Any?>>
        get() = collector.taken(Kind.EVENT).map { it.value }

    /** [Refrain.optIn] on the calling thread. */
    public fun optIn(): Unit = client.optInBlocking()

    /** [Refrain.optOut] on the calling thread. */
    @JvmOverloads
    public fun optOut(erase: Boolean = false, deleteProfile: Boolean = false): Unit =
        client.optOutBlocking(erase, deleteProfile)

    /**
     * Ends the client without another attempt to deliver, and starts a new one on the same folder, as though the app's
     * process had ended and another one begun. The collector stays.
     *
     * @return the new [client].
     */
    public fun restart(): Refrain {
        collector.whileClosed { client.close(HANG) }
        client = start()
        return client
    }

    /**
     * Sets the collector's answer to the next request that has none set yet. With 2xx it takes the records. Call it
     * several times for several requests in a row.
     *
     * @param retryAfter `Retry-After` in seconds.
     */
    @JvmOverloads
    public fun answerNext(status: Int, retryAfter: Int? = null): Unit = collector.answerNext(status, retryAfter)

    /**
     * Expects an event of this name that has at least these properties, and returns the first one that the collector
     * has taken and no earlier expectation has matched. If there is none yet, queued records are sent first. Maps among
     * the properties may have additional entries too; everything else has to be equal. A date is compared as the text
     * that was sent.
     *
     * @param timeout how long to wait, in seconds, while something is queued that could be the event.
     * @return the event as it was sent: `event` and `properties`.
     * @throws AssertionError if there is none. The message lists what has arrived, and describes the state of consent
     * and of the queue.
     */
    @JvmOverloads
    public fun expectEvent(
        name: String,
        properties: Map<String, Any?> = emptyMap(),
        timeout: Double = WAIT,
    ): Map<String, Any?> =
        expect(Kind.EVENT, timeout) { it["event"] == name && contains(it["properties"], properties) }
            ?: fail(
                buildString {
                    append("no event \"$name\"")
                    if (properties.isNotEmpty()) append(" with $properties")
                    append(" has arrived")
                    for (record in collector.taken(Kind.EVENT).filter { it.value["event"] == name }) {
                        val differences = differences(record.value["properties"], properties)
                        if (differences.isEmpty()) append("\n  one was the same, and expected before")
                        else append("\n  one differed: ${differences.joinToString()}")
                    }
                }
            )

    /**
     * Expects an update of a person's or a group's profile that has at least these members, such as
     * `mapOf("\$set" to mapOf("plan" to "pro"))`. Otherwise like [expectEvent].
     */
    @JvmOverloads
    public fun expectProfile(members: Map<String, Any?>, timeout: Double = WAIT): Map<String, Any?> =
        expect(Kind.PROFILE, timeout) { contains(it, members) }
            ?: fail(
                "no profile update with $members has arrived" +
                    collector.taken(Kind.PROFILE).joinToString("") { "\n  update: $it" }
            )

    /**
     * Expects that nothing has been sent since the last expectation (or the beginning); queued records are sent first.
     * Erasures, and deletions of profiles with an objection, do not count.
     *
     * @throws AssertionError if something was sent. The message lists it.
     */
    public fun expectNothingSent() {
        flush(HANG)
        val sent = collector.unseen().filterNot { it.isWish }
        if (sent.isNotEmpty()) fail("something has left" + sent.joinToString("") { "\n  ${it.url}: ${it.body}" })
    }

    /**
     * Expects that the client holds nothing but the record of the person's choice and the erasure outbox: no ids, no
     * properties and no records, in memory or on disk.
     *
     * @throws AssertionError if it holds more. The message lists it.
     */
    public fun expectNothingKept() {
        val audit = client.audit()
        val kept = buildList {
            for (file in audit.files) if (file.kind != "consent") add("the file ${file.name}, ${file.bytes} bytes")
            for (name in audit.superProperties) add("the super property \"$name\"")
            audit.deviceId?.let { add("device id: $it") }
            audit.distinctId?.let { add("distinct_id: $it") }
            // Not requests under way: with this collector only those for erasures last.
            val numbers =
                mapOf(
                    "running timers" to audit.timers,
                    "records that wait for a decision" to audit.heldRecords,
                    "records that wait to be delivered" to audit.queuedRecords,
                )
            for ((what, number) in numbers) if (number > 0) add("$what: $number")
        }
        if (kept.isNotEmpty()) fail("something is kept" + kept.joinToString("") { "\n  $it" })
    }

    /** Closes the client and deletes the folder. */
    override fun close() {
        client.close(HANG)
        folder.deleteRecursively()
    }

    private fun start(): Refrain {
        val client =
            Refrain.start(token) {
                configure()
                endpoint = "https://collector.test"
                dataDir = folder
                transport = collector
            }
        // Waits for the folder: what becomes of the first calls is not to be a matter of luck.
        client.consent()
        return client
    }

    private fun expect(kind: Kind, timeout: Double, fits: (Map<String, Any?>) -> Boolean): Map<String, Any?>? {
        val until = TimeSource.Monotonic.markNow() + timeout.seconds
        while (true) {
            collector.expect(kind, fits)?.let { return it }
            val isLast = until.hasPassedNow()
            flush((-until.elapsedNow()).coerceAtLeast(Duration.ZERO))
            val arrived = collector.requests.size
            collector.expect(kind, fits)?.let { return it }
            if (isLast || client.stats().queued == 0L) return null
            // A retry is on its way, or a pause that the collector has asked for.
            collector.awaitRequest(arrived, -until.elapsedNow())
        }
    }

    private fun flush(timeout: Duration) {
        client.flushBlocking(timeout.toDouble(DurationUnit.SECONDS))
    }

    private fun fail(text: String): Nothing {
        val consent = client.consent()
        val stats = client.stats()
        throw AssertionError(
            buildString {
                append(text)
                append("\n  arrived: ${collector.taken(Kind.EVENT).joinToString().ifEmpty { "no event" }}")
                append("\n  consent: ${consent.sentence}")
                append("\n  records: ${stats.tracked} made, ${stats.delivered} delivered, ${stats.queued} queued, ")
                append("${stats.held} held, ${stats.rejected} refused")
                for ((reason, count) in stats.dropped) if (count > 0) append(", $count dropped ($reason)")
                collector.requests.lastOrNull()?.let { append("\n  last answer of the collector: ${it.status}") }
                if (collectorAway) append("\n  the collector is away: collectorAway = false brings it back")
                when (consent.verdict) {
                    Verdict.ALLOW -> {}
                    Verdict.HOLD -> append("\n  what is held leaves after optIn()")
                    Verdict.DENY -> append("\n  nothing is recorded before optIn()")
                }
            }
        )
    }

    private companion object {
        /** How long an expectation waits, in seconds. */
        const val WAIT = 10.0

        /** Longer than everything takes that has not gone wrong. */
        val HANG = 60.seconds
    }
}

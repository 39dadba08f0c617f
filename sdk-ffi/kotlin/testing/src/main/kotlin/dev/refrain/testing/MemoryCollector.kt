package dev.refrain.testing

import dev.refrain.HttpAnswer
import dev.refrain.HttpRequest
import dev.refrain.HttpTransport
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.Volatile
import kotlin.concurrent.withLock
import kotlin.time.Duration

/** A collector in memory. It keeps what it takes, and answers as a real one does or as it is told. */
internal class MemoryCollector : HttpTransport {
    @Volatile var isAway = false

    /** Between two processes. */
    @Volatile private var isClosed = false

    private val lock = ReentrantLock()
    private val arrival = lock.newCondition()

    // Under the lock, from here on.
    private val sent = mutableListOf<SentRequest>()
    private val records = mutableListOf<Taken>()
    private val told = ArrayDeque<Told>()

    /** Requests that were there at the last expectation. */
    private var seen = 0
    private var erasures = 0

    val requests: List<SentRequest>
        get() = lock.withLock { sent.toList() }

    override fun send(request: HttpRequest): HttpAnswer {
        if (isAway || isClosed) return HttpAnswer.Unreachable
        val body = request.open() ?: return HttpAnswer.Unreachable
        // Noted before it counts as started: a withdrawal that waits for it finds it in the list.
        val answer =
            lock.withLock {
                arrival.signalAll()
                take(request.url, if (body.isEmpty()) null else plainJson(body.decodeToString()))
            }
        request.started()
        return answer
    }

    override fun cancel() {
        // No request lasts.
    }

    fun answerNext(status: Int, retryAfter: Int?) {
        lock.withLock { told.add(Told(status, retryAfter)) }
    }

    fun whileClosed(action: () -> Unit) {
        isClosed = true
        try {
            action()
        } finally {
            isClosed = false
        }
    }

    /** Waits until more than so many requests have come, so long at most. */
    fun awaitRequest(after: Int, timeout: Duration) {
        lock.withLock {
            var left = timeout.inWholeNanoseconds
            while (sent.size <= after && left > 0) left = arrival.awaitNanos(left)
        }
    }

    /** What was taken of a kind, in order. */
    fun taken(kind: Kind): List<Taken> = lock.withLock { records.filter { it.kind == kind } }

    /** The first record that fits and was not expected before. */
    fun expect(kind: Kind, fits: (Map<String, Any?>) -> Boolean): Map<String, Any?>? =
        lock.withLock {
            val record = records.find { it.kind == kind && !it.isExpected && fits(it.value) } ?: return null
            record.isExpected = true
            seen = sent.size
            record.value
        }

    /** The requests since the last expectation, which this is one of. */
    fun unseen(): List<SentRequest> = lock.withLock { sent.drop(seen).also { seen = sent.size } }

    private fun take(url: String, body: Any?): HttpAnswer {
        val told = told.removeFirstOrNull()
        val request = SentRequest(url, body, told?.status ?: if (isErasure(url)) ACCEPTED else OK)
        val isTaken = request.status in OK..<MULTIPLE_CHOICES
        val answer =
            when {
                told == null && isErasure(url) -> erase((body as? Map<*, *>)?.get("device_id"))
                isTaken -> """{"error":null,"status":1}"""
                else -> """{"error":"as told by the test","status":0}"""
            }
        sent += request
        if (isTaken && body is List<*>) {
            val kind = if ("/track/" in url) Kind.EVENT else Kind.PROFILE
            @Suppress("UNCHECKED_CAST") // the members of a JSON object
            body.mapTo(records) { Taken(kind, it as Map<String, Any?>) }
        }
        return HttpAnswer.Response(request.status, told?.retryAfter?.toString(), answer)
    }

    /** Done at once: a test would have to wait for it otherwise. */
    private fun erase(device: Any?): String {
        erasures++
        val events = records.count { it.kind == Kind.EVENT && contains(it.value["properties"], mapOf("\$device_id" to device)) }
        return """{"id":"$erasures","state":"completed","receipt":{"events":$events}}"""
    }
}

/** What a record is. */
internal enum class Kind {
    EVENT,
    PROFILE,
}

/** Something that the collector has taken. */
internal class Taken(val kind: Kind, val value: Map<String, Any?>) {
    /** A test has expected it already. */
    @Volatile var isExpected = false

    override fun toString(): String = "${value["event"] ?: value}${if (isExpected) " (expected before)" else ""}"
}

private class Told(val status: Int, val retryAfter: Int?)

private const val OK = 200
private const val ACCEPTED = 202
private const val MULTIPLE_CHOICES = 300

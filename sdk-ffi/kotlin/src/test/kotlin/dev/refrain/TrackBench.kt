package dev.refrain

import java.util.Locale
import java.util.concurrent.locks.LockSupport
import kotlin.io.path.createTempDirectory
import kotlin.time.Duration.Companion.seconds

private val PROPERTIES =
    mapOf(
        "run" to "r",
        "page" to "/pricing",
        "plan" to "pro",
        "price" to 19.99,
        "currency" to "EUR",
        "items" to 3,
        "first" to true,
        "coupon" to null,
    )

private const val PAUSE_NS = 200_000L

/** What `track()` costs a Kotlin program, in microseconds, in a burst and paced; beside a call that does nothing. */
fun main(arguments: Array<String>) {
    val count = arguments[0].toInt()
    val folder = createTempDirectory().toFile()
    // Nobody listens there: what is measured is the call.
    val client =
        Refrain.start("bench") {
            endpoint = "http://127.0.0.1:9"
            dataDir = folder
            defaultConsent = DefaultConsent.GRANTED
        }
    client.flushBlocking(5.0)
    val calls =
        listOf("refrain" to { client.track("Viewed", PROPERTIES) }, "a call that does nothing" to { Outcome.Held })
    println("\na call from Kotlin, microseconds")
    println("%-28s %9s %9s %9s %9s".format("", "burst p50", "p99", "paced p50", "p99"))
    for ((name, call) in calls) {
        took(call, count, 0) // so long the JVM compiles
        val figures = took(call, count, 0) + took(call, count / 10, PAUSE_NS)
        println("%-28s ".format(name) + figures.joinToString(" ") { "%9.2f".format(Locale.ROOT, it) })
    }
    client.close(1.seconds)
    folder.deleteRecursively()
}

/** The median and the 99th percentile of so many calls. */
private fun took(call: () -> Outcome, count: Int, pauseNs: Long): List<Double> {
    val times = LongArray(count)
    for (index in times.indices) {
        if (pauseNs > 0) LockSupport.parkNanos(pauseNs)
        val start = System.nanoTime()
        call()
        times[index] = System.nanoTime() - start
    }
    times.sort()
    return listOf(times[count / 2] / 1_000.0, times[count * 99 / 100] / 1_000.0)
}

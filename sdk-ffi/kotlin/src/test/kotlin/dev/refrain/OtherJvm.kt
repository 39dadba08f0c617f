package dev.refrain

import java.io.File
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread
import kotlin.time.Duration.Companion.seconds
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue

/** A process of its own with a client. */
object OtherJvm {
    /** Has one on a folder do one of the things below, and expects that it ends well; what it printed. */
    fun run(what: String, url: String, folder: File): String {
        val output = File.createTempFile("refrain", ".out")
        val program = program("dev.refrain.OtherJvmKt", what, url, folder.path)
        val process = program.redirectErrorStream(true).redirectOutput(output).start()
        val hasEnded = process.waitFor(120, TimeUnit.SECONDS)
        process.destroyForcibly()
        assertTrue(hasEnded, "$what ends")
        val said = output.readText().trim()
        output.delete()
        assertEquals(0, process.exitValue(), said)
        return said
    }

    /** One of the tests' programs, by its class. */
    fun program(name: String, vararg arguments: String): ProcessBuilder {
        val java = File(System.getProperty("java.home"), "bin/java").path
        val classes = System.getProperty("java.class.path")
        // Newer ones warn where it is not given, older ones where it is.
        val native = if (Runtime.version().feature() < 24) listOf() else listOf("--enable-native-access=ALL-UNNAMED")
        // A program so short is over before the better compiler has earned its keep.
        val short = listOf("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
        return ProcessBuilder(listOf(java) + native + short + listOf("-cp", classes, name) + arguments)
    }
}

fun main(arguments: Array<String>) {
    val (what, url, folder) = arguments
    val client =
        Refrain.start("project-token") {
            endpoint = url
            dataDir = File(folder)
            defaultConsent = DefaultConsent.GRANTED
            if (what == "hang for ever") transport = Endless
        }
    when (what) {
        "remember" -> {
            client.track("at once") // may be held until the folder has been read
            val consent = client.consent()
            val refused = client.track("after") as Outcome.Rejected
            client.reset()
            client.flushBlocking(30.0)
            println("${client.hasOptedOut()} ${consent.verdict} ${client.deviceId} ${refused.reason}")
        }
        "object" -> client.optOutBlocking()
        // It forgets to close.
        "forget" -> client.track("forgotten")
        "hang",
        "hang for ever" -> {
            client.track("under way")
            client.flushBlocking(1.0)
        }
        "drain" -> {
            client.track("before")
            // As a server does that finishes what it has begun, and closes at the end.
            val drain = thread(start = false) {
                while (AtExit.hook.state == Thread.State.NEW) Thread.onSpinWait()
                AtExit.hook.join()
                println(client.track("drained"))
                client.close(0.seconds)
            }
            Runtime.getRuntime().addShutdownHook(drain)
        }
        "erase" -> {
            client.track("before")
            client.flushBlocking(30.0)
            client.optOutBlocking(erase = true)
        }
        "halt" -> {
            client.track("kept")
            client.flushBlocking(30.0)
            Runtime.getRuntime().halt(0)
        }
    }
    if (what == "remember" || what == "object") client.close()
}

/** A transport that neither answers nor can be told to break off. */
private object Endless : HttpTransport {
    override fun send(request: HttpRequest): HttpAnswer {
        CountDownLatch(1).await()
        return HttpAnswer.TimedOut
    }

    override fun cancel(): Unit = Unit
}

package dev.refrain

import java.io.File
import java.net.InetAddress
import java.net.ServerSocket
import java.nio.file.Path
import kotlin.time.Duration.Companion.seconds
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.io.TempDir

/** A test with a collector, and a folder of its own that does not exist yet. */
abstract class FolderTest {
    @TempDir lateinit var above: Path

    val collector = Collector()
    val folder: File by lazy { above.resolve("refrain").toFile() }

    private val clients = mutableListOf<Refrain>()

    /** A client on the folder that sends to the collector, closed when the test ends. */
    fun client(configure: Settings.() -> Unit = {}): Refrain {
        val client =
            Refrain.start("project-token") {
                endpoint = collector.url
                dataDir = folder
                configure()
            }
        clients.add(client)
        return client
    }

    /** One that collects from the start, and has read its folder: before that calls are held. */
    fun granted(configure: Settings.() -> Unit = {}): Refrain {
        val client =
            client {
                defaultConsent = DefaultConsent.GRANTED
                configure()
            }
        client.consent()
        return client
    }

    @AfterEach
    fun end() {
        for (client in clients) {
            // Leaves nothing to send, so that the end is not a matter of the network.
            runCatching { client.optOutBlocking() }
            client.close(60.seconds)
        }
        collector.close()
    }

    /** All files in the folder. */
    fun files(): List<File> = folder.walk().filter { it.isFile }.sorted().toList()

    /** The files whose bytes contain a text. */
    fun holding(planted: String): List<String> =
        files().filter { planted in it.readBytes().decodeToString() }.map { it.name }
}

/** An address at which nobody listens. */
fun nobody(): String = ServerSocket(0, 1, InetAddress.getLoopbackAddress()).use { "http://127.0.0.1:${it.localPort}" }

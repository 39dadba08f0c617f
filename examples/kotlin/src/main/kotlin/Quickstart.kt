import dev.refrain.Outcome
import dev.refrain.Refrain
import java.io.File
import kotlin.io.path.createTempDirectory
import kotlin.system.exitProcess

/**
 * Records, objects, and shows that the "no" holds.
 *
 *     cargo run -p refrain-mock -- serve          # in another terminal
 *     mvn --file sdk-ffi/kotlin install
 *     mvn --file examples/kotlin compile exec:exec
 */
suspend fun main(arguments: Array<String>) {
    val collector = arguments.firstOrNull() ?: "http://127.0.0.1:8787"
    val folder = createTempDirectory().toFile()
    start(collector, folder).use { client ->
        // Nobody has decided yet: the call waits in memory, and nothing is stored or sent.
        println("before a decision:  ${client.track("Opened the shop")}")

        client.optIn()
        client.identify("ada")
        client.register(mapOf("plan" to "pro"))
        println("after a yes:        ${client.track("Bought", mapOf("item" to "umbrella", "price" to 12.5))}")
        if (!client.flush()) {
            System.err.println("nothing arrived at $collector: is the mock server running?")
            exitProcess(1)
        }
        println("delivered:          ${client.stats().delivered} records")

        client.optOut()
        val refused = client.track("Bought", mapOf("item" to "hat"))
        if (refused is Outcome.Rejected) println("after a no:         ${refused.reason} - ${refused.hint}")
    }

    // The next start remembers, and only the choice is left in the folder.
    start(collector, folder).use { client ->
        println("the next start:     ${client.consent().sentence}")
        println("left in the folder: ${client.audit().files.joinToString { "${it.name} (${it.kind})" }}")
    }
    folder.deleteRecursively()
}

private fun start(collector: String, folder: File) =
    Refrain.start("demo-token") {
        endpoint = collector
        dataDir = folder
    }

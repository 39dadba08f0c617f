package dev.refrain.scenario

import dev.refrain.OtherJvm
import java.io.EOFException
import java.io.ObjectInputStream
import java.io.ObjectOutputStream
import java.util.concurrent.TimeUnit

/** Where a client lives. */
internal interface Home {
    /** Has the client do something; what came of it. */
    fun ask(what: String, details: Map<String, Any?> = emptyMap()): Any?

    /** Ends it after the client's shutdown, and waits until it has ended. */
    fun leave()

    /** Ends it, whatever it does. */
    fun destroy()
}

/** This process. A client lives in it that is never killed and never shares its device. */
internal class ThisJvm : Home {
    private val player = Player()

    override fun ask(what: String, details: Map<String, Any?>): Any? = player.obey(what, details)

    override fun leave(): Unit = Unit

    override fun destroy(): Unit = player.end()
}

/** A process of its own. What is asked and answered crosses as Java's serialisation has it: texts may be no Unicode. */
internal class OwnJvm : Home {
    private val process =
        OtherJvm.program("dev.refrain.scenario.HomeKt").redirectError(ProcessBuilder.Redirect.INHERIT).start()
    private val output = ObjectOutputStream(process.outputStream)
    private val input by lazy { ObjectInputStream(process.inputStream) }

    override fun ask(what: String, details: Map<String, Any?>): Any? {
        output.send(what to details)
        val (done, error) = input.readObject() as Pair<*, *>
        check(error == null) { "$error" }
        return done
    }

    override fun leave() {
        output.close()
        check(process.waitFor(60, TimeUnit.SECONDS)) { "the client's process does not end" }
        check(process.exitValue() == 0) { "the client's process ended with ${process.exitValue()}" }
    }

    override fun destroy() {
        process.destroyForcibly().waitFor()
    }
}

/** What came of one thing and the next, until there is none. */
fun main() {
    val answers = ObjectOutputStream(System.out)
    System.setOut(System.err) // whatever else is printed is no answer
    val questions = ObjectInputStream(System.`in`)
    val player = Player()
    while (true) {
        val (what, details) =
            try {
                questions.readObject() as Pair<*, *>
            } catch (_: EOFException) {
                return
            }
        val answer =
            try {
                player.obey(what as String, details.asObject()) to null
            } catch (error: Exception) {
                null to "$error"
            }
        answers.send(answer)
    }
}

private fun ObjectOutputStream.send(one: Any) {
    writeObject(one)
    reset() // forgets it: what is sent later is sent whole
    flush()
}

package dev.refrain.scenario

import java.io.File
import java.nio.file.Path
import java.util.concurrent.ExecutionException
import java.util.concurrent.Executors
import java.util.concurrent.Future
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.TestFactory
import org.junit.jupiter.api.io.TempDir

/** The scenarios of `tests/scenarios`. */
class ScenarioTest {
    @TestFactory
    fun scenarios(): List<DynamicTest> {
        val files = below(SCENARIOS) + below(File(SCENARIOS, "must-fail"))
        // All begin at once; their tests wait for them.
        return files.map { file ->
            val name = file.relativeTo(SCENARIOS).path.removeSuffix(".json")
            val ending = POOL.submit<String?> { play(name, file) }
            DynamicTest.dynamicTest(name) { tell(name, ending) }
        }
    }

    private fun below(folder: File): List<File> {
        val files = folder.listFiles().orEmpty().filter { it.extension == "json" }.sorted()
        assertTrue(files.isNotEmpty(), "there is no scenario in $folder")
        return files
    }

    /** The reason, if it is not for this host. */
    private fun play(name: String, file: File): String? {
        val scenario = Scenario(file)
        if (scenario.notHere == null) scenario.play(above.resolve(name).toFile())
        return scenario.notHere
    }

    private fun tell(name: String, ending: Future<String?>) {
        val reason =
            try {
                ending.get()
            } catch (error: ExecutionException) {
                println("scenario $name ... FAILED")
                throw AssertionError("$name: ${error.cause?.message}", error.cause)
            }
        println("scenario $name ... " + if (reason == null) "ok" else "not on this host: $reason")
        assumeTrue(reason == null, reason)
    }

    companion object {
        private val SCENARIOS = File("../../tests/scenarios").canonicalFile

        /** Most of a scenario is waiting for processes to start. */
        private val POOL = Executors.newFixedThreadPool(4)

        @TempDir @JvmStatic lateinit var above: Path

        @AfterAll
        @JvmStatic
        fun end() {
            POOL.shutdown()
        }
    }
}

package dev.refrain

import java.io.File
import java.nio.file.Path
import java.util.concurrent.TimeUnit
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** A native library that cannot be used is found out at the start, and says why, however often it is asked. */
class LibraryTest {
    @TempDir lateinit var folder: Path

    /** What a program says that starts a client twice. */
    private fun started(flag: String): List<String> {
        val program = OtherJvm.program("dev.refrain.StarterKt")
        program.command().add(1, flag)
        val output = folder.resolve("out").toFile()
        val process = program.redirectOutput(output).start()
        assertTrue(process.waitFor(120, TimeUnit.SECONDS))
        assertEquals(0, process.exitValue())
        return output.readLines()
    }

    @Test
    fun `one that is of another version`() {
        // Any library that has none of the functions.
        val path = "/com/sun/jna/${com.sun.jna.Platform.RESOURCE_PREFIX}/${System.mapLibraryName("jnidispatch")}"
        val other = checkNotNull(javaClass.getResourceAsStream(path)) { path }
        val libraries = folder.resolve("libraries").toFile().apply { mkdir() }
        File(libraries, System.mapLibraryName("refrain_ffi")).outputStream().use { other.copyTo(it) }
        val said = started("-Djna.library.path=$libraries")
        assertEquals(2, said.size)
        assertEquals(said[0], said[1])
        assertTrue(said[0].startsWith("IllegalStateException the native library is of another version"), said[0])
    }

    @Test
    fun `one that cannot be loaded`() {
        val file = folder.resolve("file").toFile().apply { writeText("") }
        val said = started("-Djna.tmpdir=$file/none")
        assertEquals(2, said.size)
        assertEquals(said[0], said[1])
        assertTrue(said[0].startsWith("IllegalStateException the native library could not be loaded"), said[0])
        assertTrue("none" in said[0], said[0])
    }

    @Test
    fun `versions`() {
        assertNull(otherVersion(VERSION))
        assertTrue("another version (9.9.9) than" in otherVersion("9.9.9")!!)
    }
}

package dev.refrain

import android.app.Activity
import android.content.Context
import android.content.ContextWrapper
import java.io.File
import java.util.concurrent.TimeUnit
import kotlin.time.Duration.Companion.seconds
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config

/** On Android, as Robolectric plays it: a context's folder, and an app that goes to the background. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE)
class AndroidTest {
    private val collector = Collector()
    private val app: Context = RuntimeEnvironment.getApplication()
    private val folder = File(app.noBackupFilesDir, "refrain")
    private val client =
        Refrain.start(app, "project-token") {
            endpoint = collector.url
            flushInterval = 3600.seconds
        }

    @After
    fun end() {
        client.optOutBlocking()
        client.close(60.seconds)
        collector.close()
        folder.deleteRecursively()
    }

    private fun activity() = Robolectric.buildActivity(Activity::class.java).setup()

    @Test
    fun `the folder is one that no backup holds`() {
        client.optInBlocking()
        val files = folder.walk().filter { it.isFile }.map { it.path }.toList()
        assertTrue(files.isNotEmpty())
        assertEquals(emptyList<String>(), files.filter { "/no_backup/" !in it })
        assertEquals(emptyList<File>(), app.filesDir.walk().filter { it.isFile }.toList())
    }

    @Test
    fun `an app that goes to the background sends what is queued`() {
        client.optInBlocking()
        assertTrue(client.flushBlocking(60.0))
        collector.arrived.drainPermits()
        val activity = activity()
        client.track("seen")
        activity.pause().stop()
        assertTrue(collector.arrived.tryAcquire(60, TimeUnit.SECONDS))
        assertEquals(listOf("\$opt_in", "seen"), collector.names)
    }

    @Test
    fun `the background is where no activity is left`() {
        val said = mutableListOf<Boolean>()
        val watch = Background.watch(app) { said += it }!!
        val (first, second) = activity() to activity()
        first.pause().stop()
        assertEquals(listOf<Boolean>(), said)
        second.pause().stop()
        assertEquals(listOf(true), said)
        second.restart().resume()
        assertEquals(listOf(true, false), said)
        second.recreate() // as when the screen is turned
        assertEquals(listOf(true, false), said)
        second.pause().stop()
        assertEquals(listOf(true, false, true), said)
        watch.close()
        second.restart().resume()
        assertEquals(listOf(true, false, true), said)
    }

    @Test
    fun `activities that were there before the client count as none`() {
        val early = activity()
        val said = mutableListOf<Boolean>()
        Background.watch(app) { said += it }!!.use {
            early.pause().stop()
            assertEquals(listOf(true), said)
            activity().pause().stop()
            assertEquals(listOf(true, false, true), said)
        }
    }

    @Test
    fun `a context without an app is watched by nobody`() {
        val early =
            object : ContextWrapper(app) {
                override fun getApplicationContext(): Context? = null
            }
        assertNull(Background.watch(early) {})
    }
}
